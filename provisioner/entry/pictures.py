"""Pictures and sounds of an entry: are they what their names say, and do they only show?

Nothing is decoded here; a format is known by its first bytes. An SVG is read by a parser that
knows no entity and fetches nothing, and is refused when it holds anything that could run.
"""

from __future__ import annotations

import re
from xml.parsers import expat

_STARTS = {
    "png": (b"\x89PNG\r\n\x1a\n",),
    "jpg": (b"\xff\xd8\xff",),
    "gif": (b"GIF87a", b"GIF89a"),
    "bmp": (b"BM",),
    "wav": (b"RIFF",),
    "mp3": (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xfa", b"\xff\xe3"),
}
_ALSO = {"jpeg": "jpg", "wave": "wav"}
_ACTIVE_TAGS = frozenset(
    {"script", "foreignobject", "iframe", "object", "embed", "handler", "listener", "audio",
     "video", "set-script"}
)  # fmt: skip
_SCRIPT_URL = re.compile(r"^(javascript|vbscript|data:(text|application|image/svg))", re.I)
_CSS = re.compile(r"@import|expression\s*\(|javascript:|-moz-binding|behavior\s*:", re.I)
_UNSEEN = re.compile(r"[\x00-\x20\x7f-\x9f\u200b-\u200f\u2028\u2029\ufeff]+")


class _ActiveError(Exception):
    """Raised out of the parser's call-backs."""


def kind_fits(content: bytes, extension: str) -> bool:
    """Whether the bytes begin as a file of this extension does; an SVG must be well-formed XML."""
    if extension == "svg":
        return not content or _is_svg(content)
    if extension == "wav":
        return content.startswith(b"RIFF") and content[8:12] == b"WAVE"
    return content.startswith(_STARTS[_ALSO.get(extension, extension)])


def is_active(content: bytes) -> bool:
    """Whether an SVG holds a script, a handler, an entity, or an address that runs."""
    try:
        _parse(content)
    except _ActiveError:
        return True
    except (expat.ExpatError, ValueError, LookupError):
        return _smells(content)
    return False


def _is_svg(content: bytes) -> bool:
    try:
        return _parse(content) == "svg"
    except _ActiveError:
        return True  # it is one, and is refused for what it does
    except (expat.ExpatError, ValueError, LookupError):
        return False


def _parse(content: bytes) -> str:
    """The name of the root; raises _ActiveError, or the parser's errors."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    root: list[str] = []
    in_style: list[str] = []

    def begin(name: str, attributes: dict[str, str]) -> None:
        tag = name.rpartition(":")[2].lower()
        root.append(tag)
        if tag in _ACTIVE_TAGS:
            raise _ActiveError
        _check_attributes(tag, attributes)
        if tag == "style":
            in_style.append(tag)

    def end(name: str) -> None:
        if name.rpartition(":")[2].lower() == "style" and in_style:
            in_style.pop()

    def text(data: str) -> None:
        if in_style and _CSS.search(data):
            raise _ActiveError

    def never(*_: object) -> int:
        raise _ActiveError

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler = text
    parser.EntityDeclHandler = never
    parser.UnparsedEntityDeclHandler = never
    parser.ExternalEntityRefHandler = never
    parser.ProcessingInstructionHandler = lambda target, _: never() if "style" in target else None
    parser.Parse(content, True)
    return root[0] if root else ""


def _check_attributes(tag: str, attributes: dict[str, str]) -> None:
    for name, value in attributes.items():
        plain = name.rpartition(":")[2].lower()
        packed = _UNSEEN.sub("", value)
        if plain.startswith("on") and len(plain) > 2:
            raise _ActiveError
        if _SCRIPT_URL.match(packed) or (plain == "style" and _CSS.search(value)):
            raise _ActiveError
        # An animation may write a script's address into a link.
        if (
            tag in ("set", "animate")
            and plain in ("to", "values", "from", "by")
            and ("javascript:" in packed.lower())
        ):
            raise _ActiveError
        if (
            tag in ("set", "animate")
            and plain == "attributename"
            and (packed.lower().rpartition(":")[2].startswith(("on", "href")))
        ):
            raise _ActiveError


def _smells(content: bytes) -> bool:
    """For what is no XML: a browser's HTML parser is more forgiving than ours."""
    low = content.replace(b"\0", b"").lower()
    return any(word in low for word in (b"<script", b"javascript:", b"onload", b"<!entity",
                                        b"<foreignobject", b"onerror"))  # fmt: skip
