"""Content packs: checked, sealed, imported whole or not at all.

    PACK/pack.yml      what a person says of it                  model.pack.PackText
    PACK/pack.files    size, SHA-256 and path of every file      written by `seal`
    PACK/content/…     the courseware

A pack comes on a stick from somebody we may not know. Nothing in it is believed: each file is
read, links and special files are refused, and what it is must be what its kind says
(`provisioner.education.kinds`). It appears in the store by one rename.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner import yaml_file
from provisioner.education.kinds import check_kind
from provisioner.education.notices import EMPTY_WORDS
from provisioner.errors import ConfigError, NotFoundError, StationError, UntrustedError, nearest
from provisioner.model.pack import PackFile, PackText
from provisioner.model.wish import PackWish

TEXT = "pack.yml"
FILES = "pack.files"
CONTENT = "content"
INCOMING = ".incoming"
MAX_FILES = 200_000
MAX_LIST = 64 * 1024 * 1024
_LINE = re.compile(r"^(?P<sha256>[0-9a-f]{64})  (?P<size>\d{1,15})  (?P<path>\S.*)$")
_BAD_PATH = re.compile(r"[\x00-\x1f\x7f\\:*?\"<>|]|(^|/)\.{1,2}(/|$)|^/|//|/$")


class PackError(UntrustedError):
    """A pack is not what it says; nothing of it was taken."""


@dataclass(frozen=True)
class Pack:
    """A pack that was read to its last byte; `sha256` is the checksum that vouches for it."""

    text: PackText
    folder: Path
    files: tuple[PackFile, ...]
    sha256: str

    @property
    def id(self) -> str:
        return f"{self.text.name}@{self.text.version}"

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)


def seal(folder: Path) -> Pack:
    """Write the list of files of a pack that one made oneself, then check it as any other."""
    files = [_measure(folder, path) for path in _walk(folder) if path.name != FILES]
    lines = [f"{file.sha256}  {file.size}  {file.path}\n" for file in files]
    (folder / FILES).write_text("".join(lines), encoding="utf-8")
    return check_pack(folder)


def check_pack(folder: Path) -> Pack:
    """Read a pack wholly. Raises PackError or ConfigError with a sentence, PackError first."""
    if not folder.is_dir():
        raise PackError(f"{folder} is no folder.", "Name the folder that holds pack.yml.")
    text = read_text(folder)
    listed = {file.path: file for file in read_files(folder)}
    found = {path.relative_to(folder).as_posix() for path in _walk(folder)} - {FILES}
    for name in sorted(found - listed.keys()):
        raise PackError(f"“{name}” lies in the pack, but its list does not name it.",
                        "Seal the pack anew if you made it; else take a fresh copy.")  # fmt: skip
    for name in sorted(listed.keys() - found):
        raise PackError(f"“{name}” is on the pack's list, but it is not there.",
                        "The copy is not complete; take a fresh one.")  # fmt: skip
    for name in sorted(listed):
        _check_file(folder, listed[name])
    check_kind(text, folder / CONTENT)
    digest = hashlib.sha256((folder / FILES).read_bytes()).hexdigest()
    return Pack(text, folder, tuple(listed[name] for name in sorted(listed)), digest)


def read_text(folder: Path) -> PackText:
    """The pack's description. Raises ConfigError naming file, line and field."""
    path = folder / TEXT
    if path.is_symlink() or not path.is_file():
        raise PackError(f"There is no {TEXT} in {folder.name}.", "Is this a pack's folder?")
    text = yaml_file.load(path, PackText)
    if EMPTY_WORDS.match(text.licence):
        raise ConfigError(f"“{text.licence}” is no licence.",
                          "Ask who made it; without a licence nobody may hand it on.",
                          file=path, field="licence")  # fmt: skip
    return text


def read_files(folder: Path) -> Iterator[PackFile]:
    """The pack's list, each name made sure to stay inside."""
    path = folder / FILES
    if path.is_symlink() or not path.is_file():
        raise PackError(f"The pack has no list of its files ({FILES}).",
                        "If you made it: provisioner pack build FOLDER.")  # fmt: skip
    if path.stat().st_size > MAX_LIST:
        raise PackError("The pack's list of files is too long.")
    seen: set[str] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines()):
        parts = _LINE.match(line)
        if parts is None or _BAD_PATH.search(parts["path"]):
            raise PackError(f"Line {number + 1} of {FILES} is not in order.")
        if parts["path"].casefold() in seen:
            raise PackError(f"“{parts['path']}” stands twice in {FILES}.")
        seen.add(parts["path"].casefold())
        yield PackFile(path=parts["path"], size=int(parts["size"]), sha256=parts["sha256"])


class Store:
    """The station's packs: `ROOT/NAME@VERSION/`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def take(self, folder: Path, sha256: str = "") -> Pack:
        """Import a pack: check, copy, check the copy, and only then give it its name.

        `sha256` is the checksum that the maker told you, if any. Raises PackError, ConfigError,
        StationError when the disk is full.
        """
        pack = check_pack(folder)
        if sha256 and pack.sha256 != sha256:
            raise PackError(
                f"The pack's checksum is {pack.sha256}, not {sha256}.",
                "This is another pack, or it was changed; ask who made it.",
            )
        target = self.root / pack.id
        if target.exists():
            return self._same(target, pack)
        self._sweep()
        aside = self.root / INCOMING / os.urandom(6).hex()
        try:
            copy_pack(pack, aside)
            copy = check_pack(aside)
            if copy.sha256 != pack.sha256:
                raise PackError("The pack changed while it was copied.", "Import it again.")
            aside.rename(target)
        except OSError as error:
            raise StationError(f"The pack cannot be copied: {error.strerror}.",
                               "Is there room on the disk?") from error  # fmt: skip
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return Pack(copy.text, target, copy.files, copy.sha256)

    def list(self) -> list[Pack]:
        """The packs, by name; their lists are read, their files are not."""
        return [self._read(path) for path in sorted(self.root.glob("*@*")) if path.is_dir()]

    def find(self, wish: PackWish) -> Pack:
        """The pack that a school's folder or a person names.

        Raises NotFoundError, and ConfigError when its checksum or licence is another.
        """
        packs = self.list()
        named = [pack for pack in packs if pack.text.name == wish.name]
        if not named:
            raise NotFoundError(f"There is no pack “{wish.name}” on this station.",
                                nearest(wish.name, (p.text.name for p in packs)))  # fmt: skip
        fitting = [pack for pack in named if pack.sha256 == wish.sha256]
        if not fitting:
            raise ConfigError(
                f"The pack “{wish.name}” has the checksum {named[-1].sha256}, not {wish.sha256}.",
                "Import the pack that is meant, or write this checksum.", field="sha256",
            )  # fmt: skip
        if fitting[0].text.licence != wish.licence:
            raise ConfigError(
                f"The pack “{wish.name}” is under {fitting[0].text.licence}, not {wish.licence}.",
                "Write the licence that the pack has.", field="licence",
            )  # fmt: skip
        return fitting[0]

    def newest(self, name: str) -> Pack:
        """The pack of this name that was imported last, read to its last byte."""
        found = [path for path in self.root.glob(f"{name}@*") if path.is_dir()]
        if not found:
            names = {pack.text.name for pack in self.list()}
            raise NotFoundError(f"There is no pack “{name}” on this station.", nearest(name, names))
        return check_pack(max(found, key=lambda path: path.stat().st_ctime))

    def _read(self, folder: Path) -> Pack:
        digest = hashlib.sha256((folder / FILES).read_bytes()).hexdigest()
        return Pack(read_text(folder), folder, tuple(read_files(folder)), digest)

    def _same(self, target: Path, pack: Pack) -> Pack:
        there = check_pack(target)
        if there.sha256 == pack.sha256:
            return there
        raise PackError(
            f"Another pack {pack.id} is here already, with the checksum {there.sha256}.",
            "A changed pack needs a new version; ask who made it.",
        )

    def _sweep(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.root / INCOMING, ignore_errors=True)


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder in a fixed order; raises PackError for anything else."""
    count = 0
    for root, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted((*folders, *files)):
            path = Path(root) / name
            shown = path.relative_to(folder).as_posix()
            count += 1
            if count > MAX_FILES:
                raise PackError(f"The pack holds more than {MAX_FILES} files.")
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                raise PackError(f"“{shown}” is a link to {path.readlink()}.",
                                "A pack holds files only; put the file itself there.")  # fmt: skip
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                raise PackError(f"“{shown}” is no ordinary file.")
            if _BAD_PATH.search(shown) or not shown.isprintable():
                raise PackError(f"“{shown!r}” is a name that not every disk can hold.")
            if stat.S_ISREG(mode):
                yield path


def _measure(folder: Path, path: Path) -> PackFile:
    name = path.relative_to(folder).as_posix()
    return PackFile(path=name, size=path.stat().st_size, sha256=_digest(path))


def _check_file(folder: Path, file: PackFile) -> None:
    path = folder / file.path
    size = path.stat().st_size
    if size != file.size:
        raise PackError(f"“{file.path}” has {size} bytes; the pack's list says {file.size}.",
                        "The copy is damaged, or the pack lies; take a fresh one.")  # fmt: skip
    if _digest(path) != file.sha256:
        raise PackError(f"“{file.path}” has another content than the pack's list says.",
                        "The copy is damaged, or the pack lies; take a fresh one.")  # fmt: skip


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_pack(pack: Pack, target: Path) -> None:
    """Copy what the pack lists and its list, nothing else."""
    names: Iterable[str] = (*(file.path for file in pack.files), FILES)
    for name in names:
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(pack.folder / name, copy, follow_symlinks=False)
        copy.chmod(0o644)
