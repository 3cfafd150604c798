"""Archives for the kernel: right form, aligned, always the same."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest

from provisioner.release.cpio import Entry, file, folder, link, write_archive


def read(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Unpack as the kernel does (init/initramfs.c): zeros between archives are skipped."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while at < len(data):
        if data[at] == 0:
            at += 1
            continue
        assert at % 4 == 0
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 109 + length].decode()
        body = -(-(at + 110 + length) // 4) * 4
        at = -(-(body + size) // 4) * 4
        if name != "TRAILER!!!":
            found[name] = (mode, data[body : body + size])
    return found


def archive(*entries: Entry, start: bytes = b"") -> bytes:
    out = io.BytesIO()
    out.write(start)
    write_archive(out, entries)
    return out.getvalue()


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    source = tmp_path / "big"
    source.write_bytes(b"x" * 1001)
    found = read(
        archive(
            file("init", b"#!", executable=True),
            file("live/base", source),
            link("bin/sh", "busybox"),
            folder("proc"),
        )
    )
    assert found["init"] == (stat.S_IFREG | 0o755, b"#!")
    assert found["live/base"][1] == b"x" * 1001
    assert found["bin/sh"] == (stat.S_IFLNK | 0o777, b"busybox")
    assert found["proc"][0] == stat.S_IFDIR | 0o755
    assert list(found).index("live") < list(found).index("live/base")


@pytest.mark.parametrize("length", range(1, 6))
def test_aligned_behind_anything(length: int) -> None:
    data = archive(file("a", b"1"), start=b"\0" * length)
    assert data.index(b"070701") % 4 == 0
    assert read(data)["a"][1] == b"1"


def test_several_in_a_row_and_the_last_one_counts() -> None:
    data = archive(
        file("live/station.pub", b"new"), start=archive(file("live/station.pub", b"old"))
    )
    assert read(data)["live/station.pub"][1] == b"new"


def test_the_same_each_time(tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.write_bytes(b"a")
    first = archive(file("a", source))
    source.chmod(0o600)
    assert archive(file("a", source)) == first
