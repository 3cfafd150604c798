"""Whoever looks at a file while it grows: proof by reading back, or nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from provisioner.swarm.torrent import TorrentFile


class Watcher(Protocol):
    """Whoever wants to look at a file while it grows (proof); called from `fetch`'s thread."""

    def begin(self, path: Path, entry: TorrentFile) -> None: ...

    def turn(self, right: Callable[[], set[int]]) -> None:
        """Called about five times a second; `right` tells the pieces that are here."""

    def end(self) -> bool:
        """The file is complete and flushed; returns whether every piece of it was proved."""

    def drop(self) -> None:
        """Let go of the file, whatever became of it."""


class Nobody:
    """The `Watcher` that sees nothing, so that the carrier reads the whole file once itself."""

    def begin(self, path: Path, entry: TorrentFile) -> None: ...

    def turn(self, right: Callable[[], set[int]]) -> None: ...

    def end(self) -> bool:
        return False

    def drop(self) -> None: ...
