"""More than a hundred broken and hostile files that somebody may hand in, made here.

`cases()` yields (name, bytes, codes): the file must be refused with one of `codes`. Each starts
from a good entry of our own making, so that nothing else can be the reason.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from provisioner.model.entry import MIB, Limits
from tests.blocks_factory import make_project

Case = tuple[str, bytes, tuple[str, ...]]
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"{}>{}</svg>'
)


# A fiftieth of the real ones: the files that break them are made and read in a moment.
LIMITS = Limits(bytes=MIB, unpacked_bytes=4 * MIB, program_bytes=MIB // 2, asset_bytes=MIB // 2,
                members=200, small_bytes=MIB // 4, ratio=20)  # fmt: skip


def good_entry(folder: Path, kind: str = "scratch-2026", sprite: str = "红球") -> bytes:
    return make_project(kind, folder / "good.sb3", sprite).read_bytes()


def contents(data: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        project = json.loads(archive.read("project.json"))
        names = [name for name in archive.namelist() if name != "project.json"]
        return project, {name: archive.read(name) for name in names}


def packed(project: Any, assets: dict[str, bytes], **members: bytes) -> bytes:
    text = project if isinstance(project, bytes) else json.dumps(project).encode()
    return zipped([("project.json", text), *assets.items(), *members.items()])


def zipped(members: list[tuple[str | zipfile.ZipInfo, bytes]],
           packing: int = zipfile.ZIP_DEFLATED) -> bytes:  # fmt: skip
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def with_picture(data: bytes, svg: str | bytes, extension: str = "svg") -> bytes:
    """The entry with this picture as its first sprite's costume, under its right MD5."""
    project, assets = contents(data)
    content = svg if isinstance(svg, bytes) else svg.encode()
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    costume = project["targets"][1]["costumes"][0]
    costume |= {"assetId": digest, "dataFormat": extension, "md5ext": f"{digest}.{extension}"}
    assets[f"{digest}.{extension}"] = content
    return packed(project, assets)


def cases(folder: Path) -> Iterator[Case]:
    good = good_entry(folder)
    yield from _other_files(good)
    yield from _cut(good)
    yield from _tables(good)
    yield from _lies(good)
    yield from _programs(good)
    yield from _assets(good)
    yield from _active(good)


def _other_files(good: bytes) -> Iterator[Case]:
    scratch_2 = {"objName": "Stage", "children": [], "info": {"flashVersion": "WIN 10"}}
    project, assets = contents(good)
    yield "empty", b"", ("empty",)
    yield "scratch-1.sb", b"ScratchV02" + bytes(400), ("scratch-1",)
    yield "scratch-2.sb2", zipped([("project.json", json.dumps(scratch_2).encode()),
                                   ("0.png", b"\x89PNG\r\n\x1a\n")]), ("scratch-2",)  # fmt: skip
    yield "sprite3", zipped([("sprite.json", b"{}"), *assets.items()]), ("sprite",)
    for name, start in (("exe", b"MZ\x90\x00"), ("pdf", b"%PDF-1.7\n"), ("png", b"\x89PNG\r\n"),
                        ("html", b"<html><script>alert(1)</script>"), ("rar", b"Rar!\x1a\x07\0"),
                        ("gzip", b"\x1f\x8b\x08"), ("7z", b"7z\xbc\xaf\x27\x1c"),
                        ("text", "我的游戏".encode()), ("zeros", bytes(64)),
                        ("json", json.dumps(project).encode())):  # fmt: skip
        yield f"not-a-game-{name}", start + bytes(100), ("not-a-game",)
    yield "docx", zipped([("[Content_Types].xml", b"<a/>"), ("word/document.xml", b"")]), (
        "no-program", "path")  # fmt: skip
    yield "empty-zip", zipped([]), ("not-a-game",)
    yield "zip-in-zip", zipped([("game.sb3", good)]), ("no-program",)
    yield "too-big", b"PK\x03\x04" + bytes(MIB + 1), ("too-big",)


def _cut(good: bytes) -> Iterator[Case]:
    """Truncated at every part: each header, name, content, table and end."""
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        starts = {f"member-{n}": m.header_offset for n, m in enumerate(archive.infolist())}
    table, end = good.index(b"PK\x01\x02"), good.rindex(b"PK\x05\x06")
    places = {"magic": 3, **{f"{name}-header": at + 9 for name, at in starts.items()},
              **{f"{name}-name": at + 33 for name, at in starts.items()},
              **{f"{name}-content": at + 60 for name, at in starts.items()},
              "table-start": table + 2, "table-header": table + 30, "table-name": table + 50,
              "table-end": end - 1, "end-start": end + 2, "end-middle": end + 10,
              "last-byte": len(good) - 1}  # fmt: skip
    for name, at in places.items():
        yield f"cut-{name}", good[:at], ("cut-off", "not-a-game")
    for eighth in range(1, 8):
        yield f"cut-{eighth}-of-8", good[: len(good) * eighth // 8], ("cut-off",)
    yield "head-missing", good[40:], ("not-a-game",)
    hole = good[: starts["member-1"]] + bytes(40) + good[starts["member-1"] + 40 :]
    yield "hole", hole, ("damaged",)


def _tables(good: bytes) -> Iterator[Case]:
    project, assets = contents(good)
    base = [("project.json", json.dumps(project).encode()), *assets.items()]
    for number, name in enumerate(("../evil.svg", "../../../../etc/passwd", "/etc/passwd",
                                   "a/b.svg", "..\\evil.svg", "C:\\evil.svg", ".hidden",
                                   "~root", "evil\n.svg", "con:aux", "\u202egnp.svg",
                                   "./project.json", "folder/")):  # fmt: skip
        yield f"path-{number}", zipped([*base, (name, b"x")]), ("path",)
    for kind in ("LNK", "CHR", "BLK", "IFO", "SOCK"):
        info = zipfile.ZipInfo("0123456789abcdef0123456789abcdef.svg")
        info.external_attr = (getattr(stat, f"S_IF{kind}") | 0o777) << 16
        yield f"special-{kind.lower()}", zipped([*base, (info, b"/etc/shadow")]), ("link",)
    link = zipfile.ZipInfo("project.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    yield "program-is-a-link", zipped([(link, b"/etc/shadow"), *assets.items()]), ("link",)
    first = next(iter(assets))
    yield "twice-asset", zipped([*base, (first, assets[first])]), ("twice",)
    yield "twice-program", zipped([*base, base[0]]), ("twice",)
    for name in ("run.exe", "autorun.inf", "readme.txt", "evil.html", f"{first}.exe", "x" * 60_000):
        yield f"stranger-{name[:12]}", zipped([*base, (name, b"x")]), ("stranger",)
    yield "wrong-case-program", zipped([("Project.JSON", base[0][1]), *assets.items()]), (
        "wrong-case",)  # fmt: skip
    upper = {name.upper(): content for name, content in assets.items()}
    yield "wrong-case-assets", packed(project, upper), ("wrong-case",)
    many = [(f"{n:032x}.svg", b"") for n in range(210)]
    yield "too-many", zipped([*base, *many]), ("too-many",)
    for name, packing in (("bzip2", zipfile.ZIP_BZIP2), ("lzma", zipfile.ZIP_LZMA)):
        yield f"packing-{name}", zipped([*base], packing), ("packing",)


def _lies(good: bytes) -> Iterator[Case]:
    project, assets = contents(good)
    zeros = bytes(500_000)
    digest = hashlib.md5(zeros, usedforsecurity=False).hexdigest()
    yield "bomb-of-zeros", packed(project, {**assets, f"{digest}.wav": zeros}), ("bomb",)
    many = {f"{n:032x}.wav": zeros for n in range(12)}
    yield "bomb-of-many", packed(project, {**assets, **many}), ("bomb",)
    yield "program-too-big", packed(b" " * (MIB), assets), ("program-too-big",)
    noise = bytes(range(256)) * 2_100
    yield "asset-too-big", packed(project, {**assets, "a" * 32 + ".wav": noise}), ("asset-too-big",)
    at = good.index(b"PK\x01\x02")
    for name, size in (("4gib", 0xFFFFFFFE), ("2gib", 2**31), ("1gib", 2**30)):
        yield f"size-{name}", _patched(good, at + 24, struct.pack("<I", size)), (
            "program-too-big", "bomb")  # fmt: skip
        yield f"packed-size-{name}", _patched(good, at + 20, struct.pack("<I", size)), (
            "damaged", "bomb", "cut-off")  # fmt: skip
    yield "size-zip64", _patched(good, at + 24, b"\xff" * 4), ("cut-off", "program-too-big")
    yield "size-smaller", _patched(good, at + 24, struct.pack("<I", 10)), ("damaged",)
    yield "size-larger", _patched(good, at + 24, struct.pack("<I", 200_000)), ("damaged",)
    yield "offset-outside", _patched(good, at + 42, struct.pack("<I", 2**31)), (
        "damaged", "cut-off")  # fmt: skip
    yield "crc-wrong", _patched(good, at + 16, b"\0\0\0\0"), ("damaged",)
    yield "encrypted", _patched(good, at + 8, b"\x01\x00"), ("locked",)
    end = good.rindex(b"PK\x05\x06")
    yield "count-wrong", _patched(good, end + 8, struct.pack("<HH", 60_000, 60_000)), (
        "cut-off", "damaged", "no-program", "asset-missing")  # fmt: skip
    yield "table-offset-wrong", _patched(good, end + 16, struct.pack("<I", 2**31)), (
        "cut-off", "damaged")  # fmt: skip
    yield "names-differ", _renamed_inside(good), ("damaged",)
    flipped = bytearray(good)
    flipped[good.index(b"project.json") + 200] ^= 0x55
    yield "bit-flipped", bytes(flipped), ("damaged",)


def _programs(good: bytes) -> Iterator[Case]:
    project, assets = contents(good)

    def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
        copy = json.loads(json.dumps(project))
        change(copy)
        return packed(copy, assets)

    for name, text in (("nan", b'{"meta":{"semver":"3.0.0"},"targets":[NaN]}'), ("words", b"hello"),
                       ("half", json.dumps(project).encode()[:500]), ("empty", b""),
                       ("list", b"[]"), ("utf16", json.dumps(project).encode("utf-16")),
                       ("invalid-utf8", b'{"meta":"\xff\xfe"}'), ("null", b"null")):  # fmt: skip
        yield f"program-{name}", packed(text, assets), ("program-unreadable",)
    yield "program-deep", packed(b"[" * 100_000 + b"]" * 100_000, assets), ("program-form",)
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000
    yield "program-deep-objects", packed(deep, assets), ("program-form",)
    yield "program-missing", zipped(list(assets.items())), ("no-program",)
    stage, sprite = "targets", 1
    changes: dict[str, Callable[[dict[str, Any]], object]] = {
        "no-meta": lambda p: p.pop("meta"),
        "no-targets": lambda p: p.pop("targets"),
        "targets-empty": lambda p: p["targets"].clear(),
        "targets-words": lambda p: p.update(targets="none"),
        "semver-2": lambda p: p["meta"].update(semver="2.0.0"),
        "two-stages": lambda p: p[stage].append(p[stage][0]),
        "no-stage": lambda p: p[stage].pop(0),
        "stage-name": lambda p: p[stage][0].update(name="舞台"),
        "blocks-list": lambda p: p[stage][sprite].update(blocks=[]),
        "block-number": lambda p: p[stage][sprite]["blocks"].update(x=7),
        "block-no-opcode": lambda p: p[stage][sprite]["blocks"].update(x={"next": None}),
        "block-input": lambda p: p[stage][sprite]["blocks"]["set"].update(inputs={"V": "evil"}),
        "no-costumes": lambda p: p[stage][sprite].update(costumes=[]),
        "costume-words": lambda p: p[stage][sprite].update(costumes=["../../etc/passwd"]),
        "asset-id-path": lambda p: p[stage][1]["costumes"][0].update(assetId="../../../etc/passwd"),
        "md5ext-path": lambda p: p[stage][1]["costumes"][0].update(md5ext="../../../etc/passwd"),
        "md5ext-other": lambda p: p[stage][1]["costumes"][0].update(md5ext="0" * 32 + ".svg"),
        "format-exe": lambda p: p[stage][sprite]["costumes"][0].update(dataFormat="exe"),
        "variables-words": lambda p: p[stage][sprite].update(variables="x"),
        "direction-words": lambda p: p[stage][sprite].update(direction="up"),
        "rotation": lambda p: p[stage][sprite].update(rotationStyle="upside down"),
        "comment-long": lambda p: p[stage][1]["comments"]["c1"].update(text="x" * 9000),
    }
    for name, change in changes.items():
        yield f"form-{name}", changed(change), ("program-form",)


def _assets(good: bytes) -> Iterator[Case]:
    project, assets = contents(good)
    for name in assets:
        kind = name.rpartition(".")[2]
        less = {other: content for other, content in assets.items() if other != name}
        yield f"missing-{kind}-{name[:4]}", packed(project, less), ("asset-missing",)
        yield f"chang-{kind}-{name[:4]}", packed(project, {**assets, name: assets[name] + b" "}), (
            "asset-changed",)  # fmt: skip
        yield f"emptied-{kind}-{name[:4]}", packed(project, {**assets, name: b""}), (
            "asset-changed",)  # fmt: skip
    picture = SVG.format("", "<circle r='3'/>").encode()
    for kind, content in (("png", picture), ("jpg", b"MZ" + bytes(64)), ("gif", b"<script>"),
                          ("bmp", picture), ("svg", b"\x89PNG\r\n\x1a\n"),
                          ("svg", b"<svg><a></svg>"),
                          ("svg", b"<html><body/></html>"), ("svg", b"{{7*7}}")):  # fmt: skip
        yield f"kind-{kind}-{content[:4]!r}", with_picture(good, content, kind), ("asset-kind",)


def _active(good: bytes) -> Iterator[Case]:
    bodies = {
        "script": ("", "<script>alert(1)</script>"),
        "script-namespace": ("", "<svg:script xmlns:svg='urn:x'>1</svg:script>"),
        "script-capital": ("", "<SCRIPT>alert(1)</SCRIPT>"),
        "onload": (" onload='alert(1)'", ""),
        "onclick": ("", "<g onclick='alert(1)'/>"),
        "onload-capital": (" OnLoad='alert(1)'", ""),
        "href": ("", "<a href='javascript:alert(1)'><text>x</text></a>"),
        "xlink": ("", "<a xlink:href='java\tscript:alert(1)'><text>x</text></a>"),
        "href-entity": ("", "<a href='&#106;avascript:alert(1)'/>"),
        "data-html": ("", "<image href='data:text/html,&lt;script>'/>"),
        "data-svg": ("", "<use href='data:image/svg+xml;base64,PHN2Zz4='/>"),
        "foreign": ("", "<foreignObject><body/></foreignObject>"),
        "iframe": ("", "<iframe src='http://example.org'/>"),
        "set": ("", "<set attributeName='onmouseover' to='alert(1)'/>"),
        "animate": ("", "<a><animate attributeName='href' values='javascript:alert(1)'/></a>"),
        "style-import": ("", "<style>@import url(http://example.org/x.css)</style>"),
        "style-attribute": ("", "<g style='width: expression(alert(1))'/>"),
        "handler": ("", "<handler type='application/ecmascript'>1</handler>"),
    }  # fmt: skip
    for name, (attributes, body) in bodies.items():
        yield f"active-{name}", with_picture(good, SVG.format(attributes, body)), ("asset-active",)
    laughs = ('<!DOCTYPE svg [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
              + SVG.format("", "<text>&b;</text>"))  # fmt: skip
    yield "active-entities", with_picture(good, laughs), ("asset-active",)
    outside = '<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + SVG.format("", "&x;")
    yield "active-external-entity", with_picture(good, outside), ("asset-active",)
    utf16 = SVG.format("", "<script>alert(1)</script>").encode("utf-16")
    yield "active-utf16", with_picture(good, utf16), ("asset-active",)
    sheet = '<?xml-stylesheet href="javascript:alert(1)"?>' + SVG.format("", "")
    yield "active-stylesheet", with_picture(good, sheet), ("asset-active",)
    broken = "<svg><img src=x onerror=alert(1)></svg>"
    yield "active-html", with_picture(good, broken), ("asset-active", "asset-kind")


def _patched(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def _renamed_inside(good: bytes) -> bytes:
    """The local header says another name than the table."""
    at = good.index(b"project.json")
    return _patched(good, at, b"evil-pr.json")
