"""The live environment's initramfs, put together from parts."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from provisioner.release.live import append_layer, append_station_key, write_initramfs
from tests.unit.release.test_cpio import read

KEY = "ab" * 32


@pytest.fixture
def initrd(tmp_path: Path) -> Path:
    for name in ("base", "agent"):
        (tmp_path / f"{name}.squashfs").write_bytes(name.encode() * 99)
    out = tmp_path / "initrd.img"
    layers = {name: tmp_path / f"{name}.squashfs" for name in ("base", "agent")}
    write_initramfs(b"", layers, out)
    return out


def test_each_layer_comes_with_its_digest(initrd: Path) -> None:
    found = read(initrd.read_bytes())
    for name in ("base", "agent"):
        digest = hashlib.sha256(found[f"live/{name}.squashfs"][1]).hexdigest()
        assert found[f"live/{name}.sha256"][1].decode() == f"{digest}  {name}.squashfs\n"


def test_the_stations_key_is_appended(initrd: Path, tmp_path: Path) -> None:
    out = tmp_path / "served.img"
    append_station_key(initrd, KEY, out)
    assert out.read_bytes().startswith(initrd.read_bytes())
    assert read(out.read_bytes())["live/station.pub"][1].decode() == f"{KEY}\n"


def test_onto_itself(initrd: Path) -> None:
    before = len(initrd.read_bytes())
    append_station_key(initrd, KEY, initrd)
    assert len(initrd.read_bytes()) > before
    assert "live/station.pub" in read(initrd.read_bytes())


@pytest.mark.parametrize(
    "key", ["", KEY[:-1], KEY + "00", KEY.upper(), "../" * 21 + "x", "zz" * 32]
)
def test_nothing_but_a_key(initrd: Path, tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal"):
        append_station_key(initrd, key, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_more_layer(initrd: Path, tmp_path: Path) -> None:
    extra = tmp_path / "extra.squashfs"
    extra.write_bytes(b"more")
    append_layer(initrd, extra, tmp_path / "out")
    assert read((tmp_path / "out").read_bytes())["live/layers/extra.squashfs"][1] == b"more"
