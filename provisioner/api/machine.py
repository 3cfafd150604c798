"""The machines' door: how to start, what to fetch, and the signed dialogue.

It listens on the workshop's wire only. What it hands out is public and holds no secret; what
comes in is believed only as far as its signature reaches. Nothing here can be reached through
the operator's address, and nothing of the operator's can be reached through this one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from fastapi import Body, FastAPI, Path as PathParam, Query, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response

from provisioner.api import problems
from provisioner.errors import NotFoundError
from provisioner.netboot.menus import (
    BootDecision,
    grub_config,
    grub_hello,
    ipxe_hello,
    ipxe_script,
    parse_mac,
)
from provisioner.netboot.settings import NetbootSettings
from provisioner.workshop.boot import decide_boot
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import Station

MacParam = Annotated[str | None, Query(max_length=17)]
JSON = "application/json"

ReleaseParam = Annotated[str, PathParam(pattern=r"^[a-z0-9-]+@[0-9.]+$")]


def make_machine_app(station: Station, netboot: NetbootSettings, live_files: Path) -> FastAPI:
    """The application for the machines' port; `live_files` holds what `/live/` hands out."""
    app = FastAPI(title="Classroom Provisioner: machines", version="1", docs_url=None)
    problems.install(app)
    _add_boot(app, station, netboot)
    _add_files(app, station, live_files)
    _add_dialogue(app, Dialogue(station))
    return app


def _add_boot(app: FastAPI, station: Station, netboot: NetbootSettings) -> None:
    def decide(mac: str) -> BootDecision:
        with station.database.transaction() as session:
            return decide_boot(session, station.settings, mac)

    @app.get("/boot/boot.ipxe", response_class=PlainTextResponse, tags=["boot"])
    def boot_ipxe(mac: MacParam = None) -> str:
        """The script for iPXE; without an address, the one that makes it ask with its address."""
        if mac is None:
            return ipxe_hello(netboot)
        address = parse_mac(mac)
        return ipxe_script(decide(address), netboot, address)

    @app.get("/boot/grub.cfg", response_class=PlainTextResponse, tags=["boot"])
    def boot_grub(mac: MacParam = None) -> str:
        """The same for GRUB."""
        if mac is None:
            return grub_hello(netboot)
        address = parse_mac(mac)
        return grub_config(decide(address), netboot, address)


def _add_files(app: FastAPI, station: Station, live_files: Path) -> None:
    @app.api_route("/live/{name:path}", methods=["GET", "HEAD"], tags=["files"])
    def live_file(name: str) -> FileResponse:
        """Kernel, initramfs and loaders of the live environment; ranges are answered."""
        return _file(live_files, name)

    @app.api_route("/releases/{release}/{name:path}", methods=["GET", "HEAD"], tags=["files"])
    def release_file(release: ReleaseParam, name: str) -> FileResponse:
        """A file of a release; ranges are answered, so that a download can go on."""
        return _file(station.catalog.folder(release), name)


def _add_dialogue(app: FastAPI, dialogue: Dialogue) -> None:
    answers: dict[str, Callable[[bytes, str], str]] = {
        "register": dialogue.register,
        "poll": dialogue.poll,
        "record": dialogue.record,
    }

    def add(verb: str, answer: Callable[[bytes, str], str]) -> None:
        @app.post(f"/machine/v1/{verb}", tags=["dialogue"], name=verb)
        def handle(request: Request, body: Annotated[bytes, Body(media_type=JSON)]) -> Response:
            address = request.client.host if request.client else ""
            return Response(answer(body, address), media_type=JSON)

    for verb, answer in answers.items():
        add(verb, answer)


def _file(folder: Path, name: str) -> FileResponse:
    """A regular file inside `folder`; links and “..” that leave it count as absent."""
    root = folder.resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise NotFoundError(f"There is no file “{name[:100]}” here.")
    return FileResponse(path)
