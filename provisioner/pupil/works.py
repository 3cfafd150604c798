"""The pupil's folder: works are opened, saved and renamed so that nothing is lost.

A save writes aside, reaches the disk, and takes the old file's place in one step: after a power
cut the file is the old work or the new one, never half of either. The first save of a session
keeps the work as it was before under `.earlier/`. A work that was opened from elsewhere (a stick,
another person's folder, the file chooser) is saved into the pupil's own folder; nothing there is
ever overwritten by a work that merely has the same name.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import threading
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import NotFoundError, StationError
from provisioner.pupil import sb3

SUFFIX = ".sb3"
OPENED = (".sb3", ".sb2", ".sb")
EARLIER = ".earlier"
PART = ".part"
MAX_NAME_BYTES = 120
_NOT_IN_NAMES = {ord(sign): "_" for sign in '/\\:*?"<>|'}


class SaveError(StationError):
    """The work could not be brought to the disk; `kind` tells the page which words to show."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass
class Work:
    """One work in one window. `path` is where it is saved; None until it is saved first."""

    id: str
    title: str
    path: Path | None
    source: Path | None
    kept_earlier: bool = False


class Works:
    """The works that are open, and the folder that they live in.

    Files anywhere below `home` (the folder itself, unless said otherwise) are saved in place.
    """

    def __init__(self, folder: Path, state: Path, home: Path | None = None) -> None:
        self.folder = folder
        self._home = (home or folder).resolve()
        self._last = state / "last-work.json"
        self._open: dict[str, Work] = {}
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        state.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f".*{PART}"):  # a save that a power cut ended
            left.unlink(missing_ok=True)

    def open_file(self, path: Path) -> Work:
        """Open a file that the pupil double-clicked. Raises NotFoundError, NotAProjectError."""
        real = path.resolve()
        if not real.is_file():
            raise NotFoundError(f"There is no file {path}.")
        if real.stat().st_size > sb3.MAX_BYTES:
            raise sb3.NotAProjectError("The file is too large for a project.")
        if not sb3.looks_openable(real.read_bytes()):
            raise sb3.NotAProjectError("The file is no project, or it is damaged.")
        ours = real.suffix == SUFFIX and real.is_relative_to(self._home)
        with self._lock:
            for work in self._open.values():
                if ours and work.path == real:
                    return work
            return self._add(Work(_new_id(), real.stem, real if ours else None, real))

    def new(self, title: str, sha256: str = "") -> Work:
        """A new work; it comes to the disk with its first save.

        The file chooser gives the page a name and a content but no path: when a work of that
        name with that SHA-256 lies in the folder, it is that one which was chosen.
        """
        chosen = self.folder / f"{clean_title(title)}{SUFFIX}"
        if sha256 and chosen.is_file() and _sha256(chosen) == sha256:
            return self.open_file(chosen)
        with self._lock:
            return self._add(Work(_new_id(), clean_title(title), None, None))

    def get(self, work_id: str) -> Work:
        """An open work. Raises NotFoundError."""
        try:
            return self._open[work_id]
        except KeyError as error:
            raise NotFoundError("This work is not open any more.") from error

    def content(self, work: Work) -> bytes:
        """The work as it lies on the disk; raises NotFoundError for one never saved."""
        path = work.path or work.source
        if path is None:
            raise NotFoundError("This work has not been saved yet.")
        return path.read_bytes()

    def save(self, work: Work, data: bytes) -> Path:
        """Bring a work to the disk and check that it is there.

        Raises NotAProjectError for bytes that would not open again (the old file stays), and
        SaveError when the disk is full or cannot be written.
        """
        sb3.check_sb3(data)
        with self._lock:
            path = work.path or self._free_path(self.folder, work.title)
            try:
                self._keep_earlier(work)
                write_durably(path, data)
            except OSError as error:
                raise _explained(error) from error
            work.path, work.title = path, path.stem
            self._note(path, clean=False)
            return path

    def rename(self, work: Work, title: str) -> str:
        """Give a work another name, the nearest free one; returns it."""
        with self._lock:
            wanted = clean_title(title)
            if wanted == work.title:
                return work.title
            if work.path is not None:
                new = self._free_path(work.path.parent, wanted)
                try:
                    work.path.rename(new)
                    _sync_folder(new.parent)
                except OSError as error:
                    raise _explained(error) from error
                work.path = new
                wanted = new.stem
                self._note(new, clean=False)
            work.title = wanted
            return wanted

    def list(self) -> list[Path]:
        """The works in the folder, the youngest first."""
        found = [path for path in self.folder.glob(f"*{SUFFIX}") if path.is_file()]
        return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)

    def closed_cleanly(self) -> None:
        """The pupil closed the window; the next start begins with a new work."""
        with self._lock:
            path, _ = self._last_work()
            if path is not None:
                self._note(path, clean=True)

    def interrupted(self) -> Path | None:
        """The work that was open when the power went, if it is still there."""
        path, clean = self._last_work()
        return path if path is not None and not clean and path.is_file() else None

    def _add(self, work: Work) -> Work:
        self._open[work.id] = work
        return work

    def _free_path(self, folder: Path, title: str) -> Path:
        taken = {work.path for work in self._open.values()}
        number = 1
        while True:
            name = title if number == 1 else f"{title} {number}"
            path = folder / f"{name}{SUFFIX}"
            if not path.exists() and path not in taken:
                return path
            number += 1

    def _keep_earlier(self, work: Work) -> None:
        if work.path is None or work.kept_earlier or not work.path.exists():
            return
        kept = work.path.parent / EARLIER / work.path.name
        kept.parent.mkdir(exist_ok=True)
        kept.unlink(missing_ok=True)
        with contextlib.suppress(PermissionError):  # a stick without hard links
            os.link(work.path, kept)
        work.kept_earlier = True

    def _note(self, path: Path, *, clean: bool) -> None:
        if self._last_work() == (path, clean):
            return
        with contextlib.suppress(OSError):
            text = json.dumps({"path": str(path), "clean": clean})
            write_durably(self._last, text.encode())

    def _last_work(self) -> tuple[Path | None, bool]:
        try:
            said = json.loads(self._last.read_text(encoding="utf-8"))
            return Path(said["path"]), bool(said["clean"])
        except (OSError, ValueError, KeyError, TypeError):
            return None, True


def clean_title(title: str) -> str:
    """A title that can be a file's name on any disk; never empty."""
    line = " ".join(title.split())
    signs = "".join(sign for sign in line if unicodedata.category(sign)[0] != "C")
    name = signs.translate(_NOT_IN_NAMES).lstrip(". ")
    while len(name.encode()) > MAX_NAME_BYTES:
        name = name[:-1]
    return name.rstrip(". ") or "作品"


def write_durably(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; when this returns, the bytes have reached the disk."""
    aside = path.with_name(f".{path.name}{PART}")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explained(error: OSError) -> SaveError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SaveError("The disk is full; the work is still as it was saved last.", "full")
    return SaveError(f"The work cannot be saved: {error.strerror}.", "denied")


def _new_id() -> str:
    return secrets.token_hex(12)
