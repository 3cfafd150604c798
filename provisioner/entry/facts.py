"""What is in a project: counted, and hashed so that copies are found. Pure.

A script's hash is over opcodes, structure and typed-in values, without ids, positions, comments
and the names that a pupil gave: renaming every sprite and variable changes nothing of it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from provisioner.model.entry import Facts

_OUTSIDE = re.compile(rb"(href|src)\s*=\s*[\"']\s*(https?:)?//", re.I)
_NAMED_FIELDS = {"VARIABLE", "LIST", "BROADCAST_OPTION"}
_MOST_HASHES = 2000
_MOST_DEPTH = 5000


def facts_of(project: dict[str, Any], assets: dict[str, bytes]) -> Facts:
    """Count and hash a project that `sb3.read` has accepted."""
    targets = project["targets"]
    scripts = [digest for target in targets for digest in script_hashes(target["blocks"])]
    extensions = project.get("extensions", [])
    return Facts(
        sprites=sum(not target["isStage"] for target in targets),
        blocks=sum(_is_block(block) for t in targets for block in t["blocks"].values()),
        scripts=len(scripts),
        costumes=sum(len(target["costumes"]) for target in targets),
        sounds=sum(len(target["sounds"]) for target in targets),
        variables=sum(len(t["variables"]) + len(t.get("lists", ())) for t in targets),
        extensions=tuple(_words(extensions))[:100],
        script_hashes=tuple(sorted(scripts)[:_MOST_HASHES]),
        asset_hashes=tuple(sorted(assets)[:_MOST_HASHES]),
        foreign=any(_OUTSIDE.search(c) for name, c in assets.items() if name.endswith("svg")),
    )


def _words(values: Any) -> Iterator[str]:
    for value in values if isinstance(values, list) else ():
        if isinstance(value, str) and value.isprintable():
            yield value[:60]


def _is_block(block: Any) -> bool:
    """Scratch counts what can be seen as a block: no shadows below others."""
    return isinstance(block, dict) and not block.get("shadow")


def script_hashes(blocks: dict[str, Any]) -> Iterator[str]:
    """One hash for each stack that starts with a block of its own."""
    for block in blocks.values():
        if isinstance(block, dict) and block.get("topLevel") and not block.get("shadow"):
            text = json.dumps(list(_walk(blocks, block)), ensure_ascii=False)
            yield hashlib.sha256(text.encode()).hexdigest()[:16]


def _walk(blocks: dict[str, Any], first: dict[str, Any]) -> Iterator[Any]:
    """The blocks of a stack in the order of running; each at most once, whatever points where."""
    waiting: list[Any] = [first]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_DEPTH:
        block = waiting.pop()
        if isinstance(block, str):
            yield block
            continue
        if id(block) in seen:
            continue
        seen.add(id(block))
        yield block["opcode"]
        yield from _fields(block)
        waiting += _after(blocks, block.get("next"))
        for name, value in sorted(block.get("inputs", {}).items(), reverse=True):
            waiting += [*_input(blocks, value), f"<{name}>"]


def _fields(block: dict[str, Any]) -> Iterator[str]:
    for name, value in sorted(block.get("fields", {}).items()):
        said = value[0] if isinstance(value, list) and value else value
        yield f"{name}=*" if name in _NAMED_FIELDS else f"{name}={str(said)[:200]}"


def _after(blocks: dict[str, Any], name: Any) -> list[Any]:
    block = blocks.get(name) if isinstance(name, str) else None
    return [block] if isinstance(block, dict) else []


def _input(blocks: dict[str, Any], value: list[Any]) -> list[Any]:
    """What is plugged into an input: a block by its id, or a typed-in value."""
    said = value[1] if len(value) > 1 else None
    if isinstance(said, str):
        return _after(blocks, said)
    if isinstance(said, list) and len(said) > 1:
        named = said[0] in (11, 12, 13)
        return [f"{said[0]}=*" if named else f"{said[0]}={str(said[1])[:200]}"]
    return []


def alike(one: Facts, other: Facts) -> float:
    """How much of the smaller one's scripts stand in the other, from 0 to 1, by hashes.

    Nothing can be said of a project without a script: 0.
    """
    first, second = set(one.script_hashes), set(other.script_hashes)
    smaller = min(len(first), len(second))
    return len(first & second) / smaller if smaller else 0.0
