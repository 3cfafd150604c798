"""Projects of our own in the form in which editors of different years wrote them.

Written from the published schema of `.sb3` and from what each editor puts into `meta`; no project
of anybody else is used. The same program is in all of them: it counts, joins two words, fills a
list and moves, so that a run can be judged by its variables.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import struct
import wave
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

Block = dict[str, Any]
_CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}"


def _meta(vm: str, chrome: str) -> dict[str, Any]:
    return {"semver": "3.0.0", "vm": vm, "agent": _CHROME.format(chrome)}


METAS: dict[str, dict[str, Any]] = {
    "scratch-2019": _meta("0.2.0-prerelease.20190102", "71"),
    "scratch-2021": _meta("0.2.0-prerelease.20210510", "90"),
    "scratch-2024": _meta("2.3.4", "123"),
    "scratch-2026": _meta("15.2.0", "150"),
    "turbowarp": {
        **_meta("0.2.0", ""), "agent": "",
        "platform": {"name": "TurboWarp", "url": "https://turbowarp.org/"},
    },
}  # fmt: skip
EXPECTED = {"得分": 10, "问候": "你好世界"}
EXPECTED_LIST = ["一", "二", "三"]
PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="60" viewBox="0 0 60 60">'
    '<circle cx="30" cy="30" r="26" fill="#e4572e"/></svg>'
)
STAGE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="480" height="360" viewBox="0 0 480 360">'
    '<rect width="480" height="360" fill="#dff3e4"/></svg>'
)


def make_project(kind: str, path: Path, sprite: str = "红球") -> Path:
    """Write the project of a year, or TurboWarp's, to `path`."""
    assets: dict[str, bytes] = {}
    project = {
        "targets": [_stage(kind, assets), _sprite(sprite, kind, assets)],
        "monitors": _monitors(), "extensions": [], "meta": METAS[kind],
    }  # fmt: skip
    write_sb3(project, assets, path)
    return path


def make_speaking_project(path: Path, words: str) -> Path:
    """A project that says `words` and, when it has finished, sets 得分 to 1."""
    assets: dict[str, bytes] = {}
    speak = _block("text2speech_speakAndWait", "set", "flag", {"WORDS": [1, [10, words]]}, {})
    blocks = {
        "flag": _block("event_whenflagclicked", "speak", None, {}, {}, top=True) | {"x": 9, "y": 9},
        "speak": speak,
        "set": _block("data_setvariableto", None, "speak", {"VALUE": [1, [10, "1"]]},
                      {"VARIABLE": ["得分", "v-score"]}),
    }  # fmt: skip
    sprite = _sprite("红球", "scratch-2024", assets) | {"blocks": blocks, "comments": {}}
    project = {"targets": [_stage("scratch-2024", assets), sprite], "monitors": [],
               "extensions": ["text2speech"], "meta": METAS["scratch-2024"]}  # fmt: skip
    write_sb3(project, assets, path)
    return path


def write_sb3(project: dict[str, Any], assets: dict[str, bytes], path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("project.json", json.dumps(project, ensure_ascii=False))
        for name, content in assets.items():
            archive.writestr(name, content)


def read_project(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        return dict(json.loads(archive.read("project.json")))


def meaning(project: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """What a project means: all that a person made, without who wrote the file and when.

    The editor names a block's comment after its block and writes a drawing's XML in its own way;
    so comments are compared by block and text, drawings in XML's canonical form.
    """
    with zipfile.ZipFile(path) as archive:
        assets = {name: archive.read(name) for name in archive.namelist()}
    return [_target_meaning(target, assets) for target in project["targets"]]


def _target_meaning(target: dict[str, Any], assets: dict[str, bytes]) -> dict[str, Any]:
    kept = ("isStage", "name", "variables", "lists", "broadcasts", "currentCostume", "volume",
            "tempo", "visible", "x", "y", "size", "direction", "draggable",
            "rotationStyle")  # fmt: skip
    comments = target.get("comments", {})
    return {
        **{key: target[key] for key in kept if key in target},
        "blocks": {key: _block_meaning(block, comments)
                   for key, block in target["blocks"].items()},
        "comments": sorted((c["blockId"] or "", c["text"], c["minimized"])
                           for c in comments.values()),
        "costumes": [_asset_meaning(costume, assets) for costume in target["costumes"]],
        "sounds": [_asset_meaning(sound, assets) for sound in target["sounds"]],
    }  # fmt: skip


def _block_meaning(block: Any, comments: dict[str, Any]) -> Any:
    if isinstance(block, list):  # a variable that lies alone on the table
        return block
    kept = {key: value for key, value in block.items() if key not in ("x", "y", "comment")}
    if block.get("comment") in comments:
        kept["comment"] = comments[block["comment"]]["text"]
    return kept


def _asset_meaning(asset: dict[str, Any], assets: dict[str, bytes]) -> dict[str, Any]:
    names = ("name", "dataFormat", "rotationCenterX", "rotationCenterY")
    kept: dict[str, Any] = {name: asset[name] for name in names if name in asset}
    content = assets[asset["md5ext"]]
    if asset["dataFormat"] == "svg":
        content = ElementTree.canonicalize(content.decode()).encode()
    return {**kept, "content": hashlib.sha256(content).hexdigest()}


def _keep(assets: dict[str, bytes], content: bytes, suffix: str) -> dict[str, str]:
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    assets[f"{digest}.{suffix}"] = content
    return {"assetId": digest, "md5ext": f"{digest}.{suffix}", "dataFormat": suffix}


def _stage(kind: str, assets: dict[str, bytes]) -> dict[str, Any]:
    picture = {"name": "背景1", **_keep(assets, STAGE.encode(), "svg"),
               "rotationCenterX": 240, "rotationCenterY": 180}  # fmt: skip
    comments: dict[str, Any] = {}
    spoken = {} if kind == "scratch-2019" else {"textToSpeechLanguage": None}
    if kind == "turbowarp":  # where TurboWarp keeps a project's settings
        text = (
            "Configuration for https://turbowarp.org/\nYou can move, resize, and minimize this "
            'comment, but don\'t edit it by hand.\n{"framerate":60} // _twconfig_'
        )
        comments["tw1"] = {"blockId": None, "x": 10, "y": 10, "width": 350, "height": 170,
                           "minimized": False, "text": text}  # fmt: skip
    return {
        "isStage": True, "name": "Stage",
        "variables": {"v-score": ["得分", 0], "v-hello": ["问候", ""]},
        "lists": {"l-words": ["词语", []]}, "broadcasts": {"b-go": "开始"}, "blocks": {},
        "comments": comments, "currentCostume": 0, "costumes": [picture], "sounds": [],
        "volume": 100, "layerOrder": 0, "tempo": 60, "videoTransparency": 50,
        "videoState": "on", **spoken,
    }  # fmt: skip


def _sprite(name: str, kind: str, assets: dict[str, bytes]) -> dict[str, Any]:
    costume: dict[str, Any] = {"name": "造型1", **_keep(assets, PICTURE.encode(), "svg"),
                               "rotationCenterX": 30, "rotationCenterY": 30}  # fmt: skip
    if kind != "scratch-2019":  # written for bitmaps only in the first year
        costume["bitmapResolution"] = 1
    sound = {"name": "叮", **_keep(assets, _wav(), "wav"), "format": "", "rate": 22050,
             "sampleCount": 2205}  # fmt: skip
    comments = {"c1": {"blockId": "flag", "x": 300, "y": 30, "width": 200, "height": 200,
                       "minimized": False, "text": "点击绿旗开始"}}  # fmt: skip
    return {
        "isStage": False, "name": name, "variables": {}, "lists": {}, "broadcasts": {},
        "blocks": _program(), "comments": comments, "currentCostume": 0, "costumes": [costume],
        "sounds": [sound], "volume": 100, "layerOrder": 1, "visible": True, "x": -20, "y": 30,
        "size": 80, "direction": 90, "draggable": False, "rotationStyle": "left-right",
    }  # fmt: skip


def _program() -> dict[str, Block]:
    score, hello, words = (["得分", "v-score"], ["问候", "v-hello"], ["词语", "l-words"])
    stack = [
        ("set", "data_setvariableto", {"VALUE": [1, [10, "0"]]}, {"VARIABLE": score}),
        ("goto", "motion_gotoxy", {"X": [1, [4, "0"]], "Y": [1, [4, "0"]]}, {}),
        ("repeat", "control_repeat", {"TIMES": [1, [6, "10"]], "SUBSTACK": [2, "count"]}, {}),
        ("hello", "data_setvariableto", {"VALUE": [3, "join", [10, "0"]]}, {"VARIABLE": hello}),
        ("clear", "data_deletealloflist", {}, {"LIST": words}),
        *((f"add{n}", "data_addtolist", {"ITEM": [1, [10, word]]}, {"LIST": words})
          for n, word in enumerate(EXPECTED_LIST)),
        ("move", "motion_movesteps", {"STEPS": [1, [4, "50"]]}, {}),
        ("send", "event_broadcast", {"BROADCAST_INPUT": [1, [11, "开始", "b-go"]]}, {}),
    ]  # fmt: skip
    blocks = {"flag": _block("event_whenflagclicked", "set", None, {}, {}, top=True)}
    blocks["flag"] |= {"x": 40, "y": 40, "comment": "c1"}
    names = ["flag", *(row[0] for row in stack), None]
    for position, (name, opcode, inputs, fields) in enumerate(stack, start=1):
        after, before = names[position + 1], names[position - 1]
        blocks[name] = _block(opcode, after, before, inputs, fields)
    blocks["count"] = _block("data_changevariableby", None, "repeat",
                             {"VALUE": [1, [4, "1"]]}, {"VARIABLE": score})  # fmt: skip
    blocks["join"] = _block("operator_join", None, "hello", {
        "STRING1": [1, [10, "你好"]], "STRING2": [1, [10, "世界"]]}, {})  # fmt: skip
    return blocks


def _block(
    opcode: str, after: str | None, parent: str | None, inputs: dict[str, Any],
    fields: dict[str, Any], *, top: bool = False,
) -> Block:  # fmt: skip
    return {"opcode": opcode, "next": after, "parent": parent, "inputs": inputs,
            "fields": fields, "shadow": False, "topLevel": top}  # fmt: skip


def _monitors() -> list[dict[str, Any]]:
    return [{"id": "v-score", "mode": "default", "opcode": "data_variable",
             "params": {"VARIABLE": "得分"}, "spriteName": None, "value": 0, "width": 0,
             "height": 0, "x": 5, "y": 5, "visible": True, "sliderMin": 0, "sliderMax": 100,
             "isDiscrete": True}]  # fmt: skip


def _wav() -> bytes:
    """A tenth of a second of a tone, made here."""
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(22050)
        tone = (int(8000 * math.sin(n / 8) * (1 - n / 2205)) for n in range(2205))
        sound.writeframes(b"".join(struct.pack("<h", level) for level in tone))
    return out.getvalue()
