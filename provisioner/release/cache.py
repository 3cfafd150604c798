"""The builder's cache: finished things under the digest of what they were made from.

An entry is a file or a folder. It appears under its name by one rename, so it is whole or not
there; deleting the cache only costs time. One build at a time uses it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from provisioner.errors import StationError

WORK = "work"
# Entries that no build used for so long go.
KEEP_DAYS = 60


class Cache:
    """The cache below `root`. Use it inside `locked()`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def locked(self, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the cache alone; `waiting` is called when another build has it now.

        Raises StationError when the cache cannot be made.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / "lock").open("w")
        except OSError as error:
            raise StationError(
                f"The cache {self.root} cannot be written: {error.strerror}.",
                "Check the setting cache_dir, and that you are root.",
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            self._sweep()
            yield

    def entry(self, kind: str, key: str, make: Callable[[Path], None]) -> Path:
        """The entry, made by `make(path)` when it is not there yet.

        `make` writes a file or a folder at the path that it is given; when it raises, nothing
        is left behind.
        """
        path = self.path(kind, key)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with self.workspace() as work:
                aside = work / "entry"
                make(aside)
                aside.rename(path)
        else:
            os.utime(path)
        return path

    def path(self, kind: str, key: str) -> Path:
        return self.root / kind / key

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """A folder of one's own on the cache's file system, removed at the end."""
        work = self.root / WORK / os.urandom(6).hex()
        work.mkdir(parents=True)
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def folder(self, name: str) -> Path:
        """A folder that keeps what it has from build to build."""
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _sweep(self) -> None:
        """Remove what a build that was cut short left behind; the lock says nobody uses it.

        Entries go when they are older than any that a build used lately; measured against each
        other and not by the clock, which may have jumped.
        """
        shutil.rmtree(self.root / WORK, ignore_errors=True)
        entries = {path: path.stat().st_mtime for path in self.root.glob("*/*")}
        newest = max(entries.values(), default=0.0)
        for path, used in entries.items():
            if used < newest - KEEP_DAYS * 86_400:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def key_of(*parts: object) -> str:
    """The digest of everything that an entry depends on."""
    digest = hashlib.sha256()
    for part in parts:
        text = str(part).encode()
        digest.update(b"%d:" % len(text) + text)
    return digest.hexdigest()
