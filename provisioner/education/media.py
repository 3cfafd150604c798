"""Pictures and sounds for the editor, made from the `Media` of Debian's `scratch` 1.4.

That folder is under CC BY-SA 3.0 (the package's copyright file). GIFs become PNGs, since Scratch
3 stores none; each file is named by its MD5; numbered pictures of one thing become one sprite
with several costumes. Characters that are trademarks of the Scratch Foundation are left out.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from provisioner.errors import StationError
from provisioner.pupil.library import Index
from provisioner.release.cache import Cache
from provisioner.release.packages import DOWNLOAD_S, PrivateApt
from provisioner.release.sources import station_apt_options, station_mirror
from provisioner.run import run

PACKAGE = "scratch"
SUITE = "bookworm"
DEB_SHA256 = "36c582eb93110f64f06c4e685c41e933ccba2fa68db12f79b10bfe840b21fc10"
INSIDE = Path("usr/share/scratch/Media")
# The Cat and Gobo are trademarks (TRADEMARK in @scratch/scratch-gui); so is the logo's lettering.
LEFT_OUT = re.compile(r"Animals/cat1-|Fantasy/gobo|Letters/scratch/", re.IGNORECASE)
PICTURES = (".gif", ".png", ".jpg")
SOUNDS = (".wav", ".mp3")
# The first folder below Costumes, Backgrounds or Sounds → the editor's own tags, which its
# buttons translate.
COSTUME_TAGS = {"Animals": "animals", "Fantasy": "fantasy", "Letters": "letters",
                "People": "people", "Things": "things",
                "Transportation": "transportation"}  # fmt: skip
BACKDROP_TAGS = {"Nature": "outdoors", "Sports": "sports", "Outdoors": "outdoors",
                 "Indoors": "indoors"}  # fmt: skip
SOUND_TAGS = {"Animal": "animals", "Effects": "effects", "Electronic": "wacky",
              "Human": "voice", "Instruments": "notes", "Music Loops": "loops",
              "Percussion": "percussion", "Vocals": "voice"}  # fmt: skip
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_COSTUME = re.compile(r"^(?P<thing>.*?)(?:-(?P<costume>[a-z0-9]{1,3}))?$")


@dataclass
class Library:
    """Assets by file name, and the index that the editor shows."""

    files: dict[str, bytes] = field(default_factory=dict)
    index: Index = field(
        default_factory=lambda: {"costumes": [], "backdrops": [], "sprites": [], "sounds": []}
    )

    def add(self, content: bytes, suffix: str) -> dict[str, str]:
        """Keep an asset; the fields of an index entry that name it."""
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        name = f"{digest}.{suffix}"
        self.files[name] = content
        return {"assetId": digest, "md5ext": name, "dataFormat": suffix}

    def write(self, folder: Path, index: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in sorted(self.files.items()):
            (folder / name).write_bytes(content)
        text = json.dumps(self.index, ensure_ascii=False, indent=1, sort_keys=True)
        index.write_text(text + "\n", encoding="utf-8")


class OnePackage(PrivateApt):
    """An apt that brings one package without what it depends on."""

    def fetch(self, name: str) -> Path:
        """The package's file. Raises CommandError, StationError."""
        run(["apt-get", "download", name], timeout_s=DOWNLOAD_S, cwd=self._debs,
            env={"APT_CONFIG": str(self._config)})  # fmt: skip
        found = sorted(self._debs.glob(f"{name}_*.deb"), key=lambda path: path.stat().st_mtime)
        if not found:
            raise StationError(f"apt brought no {name}.")
        return found[-1]


def fetch_media(cache: Cache, mirror: str = "") -> Path:
    """The package's `Media` folder, from the cache or from Debian. Raises StationError."""

    def make(out: Path) -> None:
        apt = OnePackage(cache, station_mirror(mirror), SUITE, ("main",), station_apt_options())
        apt.update()
        deb = apt.fetch(PACKAGE)
        found = hashlib.sha256(deb.read_bytes()).hexdigest()
        if found != DEB_SHA256:
            raise StationError(f"Debian's {PACKAGE} is another file than was tried: {found}.")
        with cache.workspace() as work:
            run(["dpkg-deb", "-x", deb, work / "tree"], timeout_s=300)
            (work / "tree" / INSIDE).rename(out)

    return cache.entry("scratch-media", DEB_SHA256, make)


def make_library(media: Path) -> Library:
    """The library of all pictures and sounds below a `Media` folder."""
    library = Library()
    sprites: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for path, group in _files(media / "Costumes", PICTURES):
        entry = _picture(library, path, [COSTUME_TAGS.get(group, "things")])
        library.index["costumes"].append(entry)
        thing = _COSTUME.match(entry["name"])
        assert thing is not None  # the pattern fits everything
        sprites.setdefault((str(path.parent), thing["thing"]), []).append(entry)
    library.index["sprites"] = [_sprite(name, costumes) for (_, name), costumes in sprites.items()]
    for path, group in _files(media / "Backgrounds", PICTURES):
        entry = _picture(library, path, [BACKDROP_TAGS.get(group, "patterns")])
        library.index["backdrops"].append(entry)
    for path, group in _files(media / "Sounds", SOUNDS):
        library.index["sounds"].append(_sound(library, path, SOUND_TAGS.get(group, "effects")))
    return library


def _files(folder: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    """Files in a fixed order, each with the first folder that it lies in."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        whole = f"{inside.parent.as_posix()}/{inside.name}"
        if path.suffix.lower() in suffixes and path.is_file() and not LEFT_OUT.search(whole):
            yield path, inside.parts[0] if len(inside.parts) > 1 else ""


def _picture(library: Library, path: Path, tags: list[str]) -> dict[str, Any]:
    content, suffix = path.read_bytes(), path.suffix.lower()[1:]
    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
        if suffix == "gif" or image.format == "GIF":
            png = io.BytesIO()
            image.convert("RGBA").save(png, "PNG", optimize=True)
            content, suffix = png.getvalue(), "png"
    return {
        "name": _name(path), **library.add(content, suffix), "bitmapResolution": 1,
        "rotationCenterX": width // 2, "rotationCenterY": height // 2, "tags": tags,
    }  # fmt: skip


def read_words(path: Path) -> dict[str, str]:
    """English words and their Chinese, one pair a line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(" ") for line in lines if line and not line.startswith("#"))
    return {english: chinese.strip() for english, _, chinese in pairs}


def in_chinese(name: str, words: dict[str, str]) -> str:
    """A name with each of its words in Chinese; '' when one of them is not known."""
    parts = _WORD.findall(name)
    known = [part if len(part) == 1 or part.isdigit() else words.get(part.lower())
             for part in parts]  # fmt: skip
    if any(part is None for part in known) or not any(len(part) > 1 for part in parts):
        return ""
    return "".join(part for part in known if part)


def add_chinese(index: Index, words: dict[str, str]) -> None:
    """Give entries a Chinese name, `zh`, which the server shows in Chinese sessions."""
    for entries in index.values():
        for entry in entries:
            if chinese := in_chinese(entry["name"], words):
                entry["zh"] = chinese


def _name(path: Path) -> str:
    """Letters are called “a” in each of nine styles: the style is part of their name."""
    return f"{path.parent.name} {path.stem}" if path.parts[-3] == "Letters" else path.stem


def _sprite(name: str, costumes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name, "tags": costumes[0]["tags"], "isStage": False, "variables": {},
        "blocks": {}, "costumes": [{k: v for k, v in costume.items() if k != "tags"}
                                   for costume in costumes],
        "sounds": [],
    }  # fmt: skip


def _sound(library: Library, path: Path, tag: str) -> dict[str, Any]:
    """The editor measures rate and length anew when it loads a sound."""
    named = library.add(path.read_bytes(), path.suffix.lower()[1:])
    return {"name": path.stem, **named, "format": "", "rate": 22050, "sampleCount": 0,
            "tags": [tag]}  # fmt: skip
