"""Is this file a block-programming project? Judged without believing what it says of itself.

A `.sb3` is a zip with `project.json` and one file for each picture and sound, named by its MD5
(what Scratch 3 writes since 2019, and TurboWarp). `.sb2` is the same idea of 2013; `.sb` of 2007
is a format of its own that begins with "ScratchV". Limits keep a hostile file from filling
memory: they are well above the largest project seen in a classroom.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from typing import Any

from provisioner.errors import ConfigError

MAX_BYTES = 200 * 1024 * 1024
MAX_UNPACKED = 500 * 1024 * 1024
MAX_JSON = 100 * 1024 * 1024
MAX_MEMBERS = 10_000
PROJECT = "project.json"
ASSET_NAME = re.compile(r"^[0-9a-f]{32}\.(svg|png|jpg|jpeg|gif|bmp|wav|mp3)$")
SB1_START = b"ScratchV"


class NotAProjectError(ConfigError):
    """The bytes are no project that the editor could open again."""


def check_sb3(data: bytes) -> dict[str, Any]:
    """The project in `data`, a whole .sb3; raises NotAProjectError saying what is wrong.

    Every picture and sound that it names must lie in it under the MD5 of its content.
    """
    if len(data) > MAX_BYTES:
        raise NotAProjectError(f"The project is larger than {MAX_BYTES // 2**20} MiB.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_members(archive.infolist())
            project = _read_project(archive)
            for name in named_assets(project):
                _check_asset(archive, name)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, KeyError) as error:
        raise NotAProjectError(f"The file is damaged: {error}.") from error
    return project


def looks_openable(data: bytes) -> bool:
    """Whether the editor may be given this file: .sb3, .sb2 or the old .sb."""
    if data.startswith(SB1_START):
        return True
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_members(archive.infolist())
            return PROJECT in archive.namelist()
    except (zipfile.BadZipFile, NotAProjectError, EOFError):
        return False


def named_assets(project: dict[str, Any]) -> set[str]:
    """The names of all pictures and sounds that a project uses."""
    names = set()
    for target in project["targets"]:
        for asset in (*target.get("costumes", ()), *target.get("sounds", ())):
            names.add(asset.get("md5ext") or f"{asset['assetId']}.{asset['dataFormat']}")
    return names


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_MEMBERS:
        raise NotAProjectError("The project holds too many files.")
    if sum(member.file_size for member in members) > MAX_UNPACKED:
        raise NotAProjectError("The project is far larger than it looks.")


def _read_project(archive: zipfile.ZipFile) -> dict[str, Any]:
    if archive.getinfo(PROJECT).file_size > MAX_JSON:
        raise NotAProjectError("The project's program is too large.")
    try:
        project = json.loads(archive.read(PROJECT))
    except (ValueError, RecursionError) as error:
        raise NotAProjectError("The project's program cannot be read.") from error
    targets = project.get("targets") if isinstance(project, dict) else None
    if not isinstance(targets, list) or not targets or not _all_targets(targets):
        raise NotAProjectError("The project has no stage.")
    return dict(project)


def _all_targets(targets: list[Any]) -> bool:
    return all(
        isinstance(target, dict) and isinstance(target.get("name"), str) for target in targets
    ) and any(target.get("isStage") for target in targets)


def _check_asset(archive: zipfile.ZipFile, name: str) -> None:
    if not ASSET_NAME.match(name):
        raise NotAProjectError(f"“{name[:60]}” cannot be the name of a picture or a sound.")
    if name not in archive.namelist():
        raise NotAProjectError(f"The picture or sound {name} is missing in the project.")
    content = archive.read(name)
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != name[:32]:
        raise NotAProjectError(f"The picture or sound {name} is damaged.")
