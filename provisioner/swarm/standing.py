"""How far one file in the swarm is, and who brought it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Standing:
    """How far a file is: bytes that are here and right, whether all are, and what is wrong."""

    done: int
    checking: bool
    complete: bool
    received: int
    peers: int
    error: int = 0


@dataclass
class Sources:
    """Bytes of one file by where they came from, and who was sent away for wrong ones."""

    station: int = 0
    peers: int = 0
    banned: list[str] = field(default_factory=list)
    _seen: dict[tuple[str, bool], tuple[int, int]] = field(default_factory=dict)

    def add(self, who: str, web: bool, total: int, from_station: bool) -> None:
        """A connection has brought `total` bytes since it began; it may begin anew."""
        before, last = self._seen.get((who, web), (0, 0))
        if total < last:
            before, last = before + last, 0
        grown = total - last
        self._seen[who, web] = (before, total)
        if from_station:
            self.station += grown
        else:
            self.peers += grown
