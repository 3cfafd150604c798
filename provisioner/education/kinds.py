"""Is the content of a pack what its kind says? One check a kind, each reading the content itself.

kolibri    the channel's database opens, and every file that it names is there with its size
zim        one file whose own checksum is right
pdf        nothing but whole PDF files
web        index.html, and pages that load nothing from outside the folder
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from provisioner.education import zim
from provisioner.errors import UntrustedError
from provisioner.model.pack import PackKind, PackText

MAX_PAGE = 20 * 1024 * 1024
_CHANNEL = re.compile(r"^[0-9a-f]{32}$")
# What a page loads by itself, and where a link leads.
_LOADS = re.compile(
    r"""<(?:script|img|link|iframe|audio|video|source|embed|track|object)\b[^>]*?"""
    r"""\b(?:src|href|data|poster)\s*=\s*["']?([^"'\s>]+)""", re.IGNORECASE,
)  # fmt: skip
_LEADS = re.compile(r"""<a\b[^>]*?\bhref\s*=\s*["']?([^"'\s>]+)""", re.IGNORECASE)
_STYLE_LOADS = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])([^"')\s]+)""", re.IGNORECASE)
_OUTSIDE = ("http", "https", "ftp", "ws", "wss", "file")
PAGES, STYLES = (".html", ".htm", ".xhtml"), (".css",)


class ContentError(UntrustedError):
    """The content is not what the pack's kind says."""


def check_kind(text: PackText, content: Path) -> None:
    """Raise ContentError with a sentence about the first thing that is wrong."""
    files = [path for path in sorted(content.rglob("*")) if path.is_file()]
    if not files:
        raise ContentError("The pack is empty: there is nothing in its folder “content”.")
    {
        PackKind.KOLIBRI: check_kolibri,
        PackKind.ZIM: check_zim,
        PackKind.PDF: check_pdf,
        PackKind.WEB: check_web,
    }[text.kind](content, files)


def check_kolibri(content: Path, files: list[Path]) -> None:
    """A channel as Kolibri exports it: databases/ID.sqlite3 and storage/A/B/MD5.EXT."""
    databases = sorted((content / "databases").glob("*.sqlite3"))
    if not databases or not all(_CHANNEL.match(path.stem) for path in databases):
        raise ContentError("There is no channel: content/databases/ID.sqlite3 is missing.")
    wanted: set[Path] = set()
    for database in databases:
        for name, size in _channel_files(database):
            path = content / "storage" / name[0] / name[1] / name
            if not path.is_file():
                raise ContentError(f"The channel wants {name}, which is not in the pack.")
            if path.stat().st_size != size:
                raise ContentError(f"The channel says that {name} has {size} bytes; "
                                   f"it has {path.stat().st_size}.")  # fmt: skip
            if _md5(path) != name.split(".")[0]:
                raise ContentError(f"{name} is not what its name says: another MD5.")
            wanted.add(path)
    for path in files:
        if path not in wanted and path not in databases:
            raise ContentError(f"No channel uses {path.relative_to(content)}.",
                               "Take it out of the pack.")  # fmt: skip


def check_zim(content: Path, files: list[Path]) -> None:
    """One ZIM file; its length and its own MD5 are what its header says."""
    if len(files) != 1 or files[0].suffix != ".zim" or files[0].parent != content:
        raise ContentError("A pack of kind “zim” holds one file, content/NAME.zim.")
    try:
        zim.check_file(files[0])
    except zim.ZimError as error:
        raise ContentError(f"{files[0].name}: {error.message}", error.hint) from error


def check_pdf(content: Path, files: list[Path]) -> None:
    """Whole PDF files: begun and ended as ISO 32000 says."""
    for path in files:
        name = path.relative_to(content)
        if path.suffix.lower() != ".pdf":
            raise ContentError(f"“{name}” is no PDF.", "Other files belong into a web folder.")
        with path.open("rb") as file:
            start = file.read(1024)
            file.seek(-min(2048, path.stat().st_size), 2)
            end = file.read()
        if b"%PDF-" not in start or b"%%EOF" not in end:
            raise ContentError(f"“{name}” is no whole PDF file.", "Copy it anew.")


def check_web(content: Path, files: list[Path]) -> None:
    """Pages that work without a network: all that they load lies in the folder."""
    if not (content / "index.html").is_file():
        raise ContentError("A pack of kind “web” begins with content/index.html.")
    for path in files:
        if path.suffix.lower() in (*PAGES, *STYLES):
            if path.stat().st_size > MAX_PAGE:
                raise ContentError(f"“{path.relative_to(content)}” is too large for a page.")
            _check_page(content, path)


def _check_page(content: Path, page: Path) -> None:
    text = page.read_text(encoding="utf-8", errors="replace")
    shown = page.relative_to(content)
    for link, loaded in _links(text, page.suffix.lower()):
        parts = urlsplit(link)
        if parts.scheme in _OUTSIDE or link.startswith("//"):
            if loaded or parts.scheme == "file":
                raise ContentError(f"“{shown}” loads {link[:120]}, which is not in the pack.",
                                   "Put the file into the folder.")  # fmt: skip
            continue  # a link that a person may follow where there is a network
        if parts.scheme or not parts.path:
            continue  # data:, mailto:, #place
        target = _target(PurePosixPath(shown.as_posix()), unquote(parts.path))
        if target is None:
            raise ContentError(f"“{shown}” leads out of its folder: {link[:120]}.",
                               "Links must stay below content/.")  # fmt: skip
        found = content / target
        if not found.is_file() and not (found / "index.html").is_file():
            raise ContentError(f"“{shown}” names {link[:120]}, which is not in the pack.")


def _links(text: str, suffix: str) -> Iterator[tuple[str, bool]]:
    """The addresses in a page, and whether it loads them by itself."""
    yield from ((link, True) for link in _STYLE_LOADS.findall(text))
    if suffix in PAGES:
        yield from ((link, True) for link in _LOADS.findall(text))
        yield from ((link, False) for link in _LEADS.findall(text))


def _target(page: PurePosixPath, link: str) -> str | None:
    """Where a link leads, below the folder; None when it leads out of it."""
    if link.startswith("/"):
        return None
    steps: list[str] = list(page.parent.parts)
    for step in link.split("/"):
        if step == "..":
            if not steps:
                return None
            steps.pop()
        elif step not in ("", "."):
            steps.append(step)
    return "/".join(steps)


def _channel_files(database: Path) -> list[tuple[str, int]]:
    """Names and sizes of all files that a channel uses."""
    try:
        with sqlite3.connect(f"file:{database}?mode=ro&immutable=1", uri=True) as opened:
            channels = [row[0] for row in opened.execute("SELECT id FROM content_channelmetadata")]
            rows = opened.execute("SELECT id, extension, file_size FROM content_localfile")
            files = [(f"{row[0]}.{row[1]}", int(row[2])) for row in rows]
    except (sqlite3.Error, TypeError, ValueError) as error:
        raise ContentError(f"{database.name} is no channel of Kolibri: {error}.") from error
    if channels != [database.stem]:
        raise ContentError(f"{database.name} holds another channel than its name says.")
    for name, _ in files:
        if not re.fullmatch(r"[0-9a-f]{32}\.[a-z0-9]{1,10}", name):
            raise ContentError(f"The channel names a file in an unknown way: {name[:80]!r}.")
    return files


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.md5(usedforsecurity=False)
        ).hexdigest()  # fmt: skip
