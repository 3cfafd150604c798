"""The release's torrent: the same bytes for the same files, and nothing but our own form."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.errors import UntrustedError
from provisioner.model.release import Manifest, Minimum, ReleaseKind
from provisioner.model.signed import PrivateKey
from provisioner.release.build import list_carried
from provisioner.release.manifest import file_digest
from provisioner.swarm import bencode, merkle
from provisioner.swarm.torrent import (
    LEAST_BYTES,
    TORRENT,
    Torrent,
    check_torrent,
    info_hash,
    make_torrent,
    read_torrent,
)

ID = "lab@2026.1"
PIECE = 64 * 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "release"
    (made / "loader").mkdir(parents=True)
    (made / "system.squashfs").write_bytes(os.urandom(3_000_001))
    (made / "vmlinuz").write_bytes(os.urandom(LEAST_BYTES))
    (made / "loader/grub").write_bytes(os.urandom(LEAST_BYTES + 1))
    (made / "loader.big").write_bytes(os.urandom(LEAST_BYTES))
    (made / "small").write_bytes(b"small")
    return made


@pytest.fixture
def torrent(folder: Path) -> Torrent:
    made = make_torrent(folder, ID, PIECE)
    assert made is not None
    return made


def manifest_of(folder: Path) -> Manifest:
    return Manifest(
        name="lab", version="2026.1", number=1, kind=ReleaseKind.SYSTEM, suite="trixie",
        architecture="amd64", source_date_epoch=0, recipe_sha256="0" * 64,
        minimum=Minimum(memory_mib=1, disk_mb=2000), installed_bytes=1,
        files=list_carried(folder, ID, ReleaseKind.SYSTEM), components=(),
    )  # fmt: skip


def test_it_holds_the_large_files_and_reads_back_the_same(torrent: Torrent) -> None:
    assert [entry.path for entry in torrent.files] == [
        "loader/grub", "loader.big", "system.squashfs", "vmlinuz"
    ]  # fmt: skip
    assert read_torrent(torrent.encode()) == torrent


def test_the_same_files_give_the_same_bytes(folder: Path, torrent: Torrent) -> None:
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
    again = make_torrent(folder, ID, PIECE)
    assert again is not None
    assert again.encode() == torrent.encode()
    assert b"date" not in torrent.encode()
    assert b"announce" not in torrent.encode()


def test_libtorrent_understands_it_as_we_do(folder: Path, torrent: Torrent) -> None:
    lt: Any = pytest.importorskip("libtorrent")
    for entry in torrent.files:
        alone = torrent.alone(entry.path)
        known = lt.load_torrent_buffer(alone).ti
        assert known.priv()
        assert known.info_hashes().v2.to_bytes() == info_hash_v2(alone)
        assert known.info_hashes().v2.to_bytes()[:20] == info_hash(alone)
        assert known.piece_length() == PIECE


def info_hash_v2(data: bytes) -> bytes:
    value = cast(dict[bytes, Any], bencode.decode(data))
    return hashlib.sha256(bencode.encode(value[b"info"])).digest()


def test_each_piece_is_known_and_no_other(folder: Path, torrent: Torrent) -> None:
    entry = torrent.file("system.squashfs")
    assert entry is not None
    data = (folder / entry.path).read_bytes()
    for number in range(len(entry.pieces)):
        start, stop = entry.span(number)
        assert entry.holds(number, data[start:stop])
        assert not entry.holds(number, data[start : stop - 1])
        assert not entry.holds(number, bytes([data[start] ^ 1]) + data[start + 1 : stop])


def test_a_file_of_one_piece(tmp_path: Path) -> None:
    data = os.urandom(LEAST_BYTES + 70_000)
    (tmp_path / "one").write_bytes(data)
    made = make_torrent(tmp_path, ID, 4 * LEAST_BYTES)
    assert made is not None
    assert read_torrent(made.encode()).files[0].holds(0, data)
    assert not made.files[0].holds(0, data[:-1] + bytes([data[-1] ^ 1]))


def test_a_release_without_large_files_has_none(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x" * (LEAST_BYTES - 1))
    assert make_torrent(tmp_path, ID) is None


def test_the_manifest_vouches_for_it(folder: Path) -> None:
    manifest = manifest_of(folder)
    assert manifest.file(TORRENT).sha256 == file_digest(folder / TORRENT)
    read = read_torrent((folder / TORRENT).read_bytes())
    check_torrent(read, manifest)
    for entry in read.files:
        assert manifest.file(entry.path).merkle == entry.root.hex()
    assert manifest.file("small").merkle == hashlib.sha256(b"small").hexdigest()  # one block
    sealed = PrivateKey.generate().seal(manifest)
    assert '"merkle"' not in sealed  # it is inside the signed payload, which is base64


def test_a_live_environment_has_none(folder: Path) -> None:
    files = list_carried(folder, ID, ReleaseKind.LIVE)
    assert TORRENT not in {entry.path for entry in files}


def changed(torrent: Torrent, change: Callable[[dict[bytes, Any]], object]) -> bytes:
    value = cast(dict[bytes, Any], bencode.decode(torrent.encode()))
    change(value)
    return bencode.encode(value)


def tree(value: dict[bytes, Any]) -> dict[bytes, Any]:
    return cast(dict[bytes, Any], value[b"info"][b"file tree"])


@pytest.mark.parametrize(
    "change",
    [
        lambda v: tree(v).update({b"..": tree(v).pop(b"vmlinuz")}),
        lambda v: tree(v).update({b".": tree(v).pop(b"vmlinuz")}),
        lambda v: tree(v).update({b".hidden": tree(v).pop(b"vmlinuz")}),
        lambda v: tree(v).update({b"/etc/passwd": tree(v).pop(b"vmlinuz")}),
        lambda v: tree(v).update({b"..\\x": tree(v).pop(b"vmlinuz")}),
        lambda v: tree(v).update({b"a\0b": tree(v).pop(b"vmlinuz")}),
        lambda v: tree(v).update({b"\xff": tree(v).pop(b"vmlinuz")}),
        lambda v: tree(v).update({b"": {b"length": 1, b"pieces root": bytes(32)}}),
        lambda v: tree(v)[b"vmlinuz"][b""].update({b"attr": b"l", b"symlink path": [b"x"]}),
        lambda v: tree(v)[b"vmlinuz"][b""].update({b"attr": b"p"}),
        lambda v: tree(v)[b"vmlinuz"][b""].update({b"length": -1}),
        lambda v: tree(v)[b"vmlinuz"][b""].update({b"length": 0}),
        lambda v: tree(v)[b"vmlinuz"][b""].update({b"length": b"1048576"}),
        lambda v: tree(v)[b"vmlinuz"][b""].update({b"length": 10**12}),
        lambda v: tree(v)[b"vmlinuz"][b""].update({b"pieces root": bytes(31)}),
        lambda v: tree(v)[b"vmlinuz"][b""].update({b"pieces root": bytes(32)}),
        lambda v: v.update({b"announce": b"http://elsewhere/"}),
        lambda v: v.update({b"url-list": [b"http://elsewhere/"]}),
        lambda v: v.update({b"creation date": 1}),
        lambda v: v[b"info"].update({b"private": 0}),
        lambda v: v[b"info"].pop(b"private"),
        lambda v: v[b"info"].update({b"pieces": bytes(20)}),
        lambda v: v[b"info"].update({b"meta version": 3}),
        lambda v: v[b"info"].update({b"piece length": 0}),
        lambda v: v[b"info"].update({b"piece length": 65_535}),
        lambda v: v[b"info"].update({b"piece length": -65_536}),
        lambda v: v[b"info"].update({b"file tree": {}}),
        lambda v: v[b"info"].update({b"file tree": []}),
        lambda v: v.update({b"piece layers": {}}),
        lambda v: v[b"piece layers"].update({bytes(32): bytes(32)}),
        lambda v: v[b"piece layers"].update(
            {key: bytes(len(layer)) for key, layer in v[b"piece layers"].items()}
        ),
    ],
)
def test_anything_else_is_refused(torrent: Torrent, change: Callable[[Any], object]) -> None:
    with pytest.raises(UntrustedError):
        read_torrent(changed(torrent, change))


@given(st.data())
def test_a_damaged_torrent_is_refused_or_the_same(data: st.DataObject) -> None:
    entry = TINY.encode()
    at = data.draw(st.integers(0, len(entry) - 1))
    cut = data.draw(st.booleans())
    bad = entry[:at] if cut else entry[:at] + data.draw(st.binary(max_size=9)) + entry[at + 1 :]
    try:
        read = read_torrent(bad)
    except UntrustedError:
        return
    assert read.encode() == bad


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(UntrustedError):
        read_torrent(data)


@pytest.mark.parametrize("data", [b"l" * 10_000, b"d1:a" * 10_000, b"99999999999999:", b"i-0e"])
def test_bombs_are_refused(data: bytes) -> None:
    with pytest.raises(UntrustedError):
        bencode.decode(data)


def _tiny() -> Torrent:
    from provisioner.swarm.torrent import TorrentFile

    pieces = tuple(hashlib.sha256(bytes([n])).digest() for n in range(3))
    root = merkle.file_root(pieces, PIECE)
    return Torrent(ID, (TorrentFile("system.squashfs", 2 * PIECE + 9, root, pieces, PIECE),))


TINY = _tiny()


@given(
    st.recursive(
        st.integers(-(10**14), 10**14) | st.binary(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=5), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_what_is_written_is_read_the_same(value: Any) -> None:
    assert bencode.decode(bencode.encode(value)) == value


def test_another_releases_torrent_is_refused(folder: Path, torrent: Torrent) -> None:
    manifest = manifest_of(folder)
    for wrong in (
        Torrent("lab@2026.2", torrent.files),
        Torrent(ID, (*torrent.files, *_tiny().files[:0], TINY.files[0])),
    ):
        with pytest.raises(UntrustedError):
            check_torrent(wrong, manifest)
    # the same names and sizes, other content: only the roots tell
    (folder / "vmlinuz").write_bytes(os.urandom(LEAST_BYTES))
    other = make_torrent(folder, ID, PIECE)
    assert other is not None
    with pytest.raises(UntrustedError, match="pieces of vmlinuz"):
        check_torrent(other, manifest)
