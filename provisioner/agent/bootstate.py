"""Which system this machine starts: read and changed on its own EFI system partition.

What each change leaves behind after a power cut at any moment is one of two: as it was, or as it
is to be. `grubenv` is written in place, one sector; the entry of a release is written beside
its place, flushed, and then takes it (FAT changes a directory entry within one sector). The
words are explained in `release/grubcfg.py`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from provisioner.agent.direct import drop_caches
from provisioner.errors import ImageMismatchError, ProofMissingError
from provisioner.release.bootenv import SIZE, pack_env, parse_env
from provisioner.release.grubcfg import (
    GOOD,
    GRUB_ENV,
    LEFT,
    SECOND_ENV,
    TRIAL_STARTS,
    TRY,
    entry_path,
)


@dataclass(frozen=True)
class BootState:
    """`good` starts, unless `trial` may still be started `left` times."""

    good: str
    trial: str = ""
    left: int = 0


def read_state(esp: Path) -> BootState:
    """What stands on the disk. Raises ImageMismatchError when neither copy can be read."""
    first, second = (_read(esp, name) for name in (GRUB_ENV, SECOND_ENV))
    said = first if first and first.get(GOOD) else second
    if not said or not said.get(GOOD):
        raise ImageMismatchError(
            "This machine has forgotten which system it starts.",
            "It starts one that can be started; renew it, or image it again.",
        )
    left = said.get(LEFT, "")
    return BootState(said[GOOD], said.get(TRY, ""), int(left) if left.isdigit() else 0)


def offer(esp: Path, release: str, entry: str) -> None:
    """Make a release startable: its entry, last of all. Nothing starts it yet."""
    place = _place(esp, entry_path(release))
    _replace(place, entry.encode())


def withdraw(esp: Path, release: str) -> None:
    """Make sure that nobody starts a release; before anything of it is changed."""
    place = _place(esp, entry_path(release))
    if place.exists():
        place.unlink()
        _flush_folder(place.parent)


def try_next(esp: Path, release: str, starts: int = TRIAL_STARTS) -> None:
    """Let the loader start `release` next, at most `starts` times. Its entry must be there."""
    if not _place(esp, entry_path(release)).is_file():
        raise ProofMissingError(f"{release} cannot be started yet.", "Renew the machine again.")
    state = read_state(esp)
    _heal(esp, state.good)
    _say(esp, GRUB_ENV, {GOOD: state.good, TRY: release, LEFT: str(starts)})
    _prove(esp, BootState(state.good, release, starts))


def mark_good(esp: Path, release: str) -> None:
    """`release` starts from now on, and nothing is tried any more."""
    if not _place(esp, entry_path(release)).is_file():
        raise ProofMissingError(f"{release} cannot be started.", "Renew the machine again.")
    _say(esp, GRUB_ENV, {GOOD: release, TRY: "", LEFT: ""})
    _prove(esp, BootState(release))
    _say(esp, SECOND_ENV, {GOOD: release})


def end_trial(esp: Path) -> None:
    """Nothing is tried any more; what was good stays so."""
    state = read_state(esp)
    _heal(esp, state.good)
    if state.trial:
        _say(esp, GRUB_ENV, {GOOD: state.good, TRY: "", LEFT: ""})
        _prove(esp, BootState(state.good))


def _heal(esp: Path, good: str) -> None:
    """The second copy says what the first one says, before the first one is touched."""
    if _read(esp, SECOND_ENV) != {GOOD: good}:
        _say(esp, SECOND_ENV, {GOOD: good})


def _read(esp: Path, name: str) -> dict[str, str] | None:
    try:
        return parse_env(_place(esp, name).read_bytes())
    except OSError:
        return None


def _say(esp: Path, name: str, values: dict[str, str]) -> None:
    """Write a block where it lies; only one that is missing or has another length is made anew."""
    place, block = _place(esp, name), pack_env(values)
    if not place.is_file() or place.stat().st_size != SIZE:
        _replace(place, block)
        return
    handle = os.open(place, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.pwrite(handle, block, 0)
        os.fsync(handle)
    finally:
        os.close(handle)


def _prove(esp: Path, wanted: BootState) -> None:
    drop_caches()
    if read_state(esp) != wanted:
        raise ProofMissingError(
            "The disk did not keep which system is to be started.", "Replace the disk."
        )


def _replace(place: Path, data: bytes) -> None:
    new = place.with_name(f"{place.name}.new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    _flush_folder(place.parent)
    new.replace(place)
    _flush_folder(place.parent)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _place(esp: Path, name: str) -> Path:
    return esp / name.lstrip("/")
