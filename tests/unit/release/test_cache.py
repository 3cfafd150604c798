"""A cache entry is whole or not there."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from provisioner.release.cache import Cache, key_of


def text(out: Path) -> None:
    out.write_text("x")


def test_made_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(out: Path) -> None:
        made.append(out)
        out.write_text("content")

    cache = Cache(tmp_path)
    with cache.locked():
        first = cache.entry("things", "k", make)
        second = cache.entry("things", "k", make)
    assert first == second
    assert first.read_text() == "content"
    assert len(made) == 1


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def make(out: Path) -> None:
        out.mkdir()
        (out / "half").write_text("x")
        raise RuntimeError("power")

    cache = Cache(tmp_path)
    with cache.locked(), pytest.raises(RuntimeError):
        cache.entry("things", "k", make)
    assert not cache.path("things", "k").exists()
    assert list((tmp_path / "work").iterdir()) == []


def test_what_a_killed_build_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / "work/abc/tree").mkdir(parents=True)
    with Cache(tmp_path).locked():
        assert not (tmp_path / "work/abc").exists()


def test_one_build_at_a_time(tmp_path: Path) -> None:
    with Cache(tmp_path).locked():
        assert not can_lock(tmp_path / "lock")
    assert can_lock(tmp_path / "lock")


def can_lock(path: Path) -> bool:
    with path.open("w") as other:
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_key_keeps_parts_apart() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")
    assert key_of("a", "b") == key_of("a", "b")


def test_what_no_build_used_lately_goes(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.locked():
        old = cache.entry("trees", "old", text)
        folder = cache.entry("loaders", "old", Path.mkdir)
        new = cache.entry("trees", "new", text)
    for path in (old, folder):
        os.utime(path, (0, new.stat().st_mtime - 61 * 86_400))
    with cache.locked():
        assert not old.exists()
        assert not folder.exists()
        assert new.exists()


def test_a_used_entry_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.locked():
        old = cache.entry("trees", "old", text)
        os.utime(old, (0, 0))
        cache.entry("trees", "old", lambda _: pytest.fail("made again"))
        cache.entry("trees", "new", text)
    with cache.locked():
        assert old.read_text() == "x"
