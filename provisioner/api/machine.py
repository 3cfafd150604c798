"""The machines' door: how to start, what to fetch, and the signed dialogue.

It listens on the workshop's wire only. What it hands out is public and holds no secret; what
comes in is believed only as far as its signature reaches. Nothing here can be reached through
the operator's address, and nothing of the operator's can be reached through this one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi import Path as PathParam
from fastapi.responses import FileResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool

from provisioner.api import problems
from provisioner.api.contests import entries_router
from provisioner.api.loader_headers import LoaderHeaders
from provisioner.errors import NotFoundError, TooLargeError
from provisioner.model.signed import Envelope
from provisioner.netboot.menus import (
    BootDecision,
    grub_config,
    grub_hello,
    ipxe_hello,
    ipxe_script,
    parse_mac,
)
from provisioner.netboot.settings import NetbootSettings
from provisioner.release.delta import patches_of
from provisioner.store.tables import now
from provisioner.swarm.tracker import Tracker
from provisioner.workshop import sites
from provisioner.workshop.boot import decide_boot
from provisioner.workshop.in_the_field import FieldDialogue
from provisioner.workshop.path import machine_by_tag
from provisioner.workshop.station import Station

MacParam = Annotated[str | None, Query(max_length=17)]
JSON = "application/json"
READ = ["GET", "HEAD"]
# A registration with 64 disks is some 30 kB; a record with 10,000 samples is the largest.
MAX_BODY_BYTES = 4 * 1024 * 1024
ENVELOPE = {
    "requestBody": {
        "required": True,
        "content": {JSON: {"schema": Envelope.model_json_schema()}},
        "description": "A DSSE envelope, sealed with the machine's own key.",
    }
}

TagParam = Annotated[str, PathParam(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,31}$")]
ReleaseParam = Annotated[str, PathParam(pattern=r"^[a-z0-9-]+@[0-9.]+$")]


def make_machine_app(
    station: Station,
    netboot: NetbootSettings,
    live_files: Path,
    clock: Callable[[], datetime] = now,
) -> FastAPI:
    """The application for the machines' port; `live_files` holds what `/live/` hands out.

    `clock` is the station's own, another in simulations.
    """
    app = FastAPI(title="Classroom Provisioner: machines", version="1", docs_url=None)
    problems.install(app)
    app.add_middleware(LoaderHeaders)
    _add_boot(app, station, netboot)
    _add_files(app, station, live_files)
    _add_sites(app, station)
    _add_tracker(app, Tracker(netboot.station.network))
    _add_dialogue(app, FieldDialogue(station, clock))
    app.include_router(entries_router(station))
    return app


def make_field_app(station: Station) -> FastAPI:
    """The application for machines in their schools, reached over the Internet: the dialogue,
    releases, and what is closed for one machine. How to start from a network is nobody's there."""
    app = FastAPI(title="Classroom Provisioner: schools", version="1", docs_url=None,
                  openapi_url=None)  # fmt: skip
    problems.install(app)
    _add_releases(app, station)
    _add_sites(app, station)
    _add_dialogue(app, FieldDialogue(station))
    app.include_router(entries_router(station))
    return app


def _add_boot(app: FastAPI, station: Station, netboot: NetbootSettings) -> None:
    def decide(mac: str) -> BootDecision:
        with station.database.reading() as session:
            return decide_boot(session, station.settings, mac)

    @app.api_route("/boot/boot.ipxe", methods=READ, response_class=PlainTextResponse, tags=["boot"])
    def boot_ipxe(mac: MacParam = None) -> str:
        """The script for iPXE; without an address, the one that makes it ask with its address."""
        if mac is None:
            return ipxe_hello(netboot)
        address = parse_mac(mac)
        return ipxe_script(decide(address), netboot, address)

    # After UEFI HTTP boot GRUB looks here for its configuration, and asks HEAD before each GET.
    @app.api_route("/grub/grub.cfg", methods=READ, response_class=PlainTextResponse, tags=["boot"])
    @app.api_route("/boot/grub.cfg", methods=READ, response_class=PlainTextResponse, tags=["boot"])
    def boot_grub(mac: MacParam = None) -> str:
        """The same for GRUB."""
        if mac is None:
            return grub_hello(netboot)
        address = parse_mac(mac)
        return grub_config(decide(address), netboot, address)


def _add_files(app: FastAPI, station: Station, live_files: Path) -> None:
    @app.api_route("/live/{name:path}", methods=READ, tags=["files"])
    def live_file(name: str) -> FileResponse:
        """Kernel, initramfs and loaders of the live environment; ranges are answered."""
        return _file(live_files, name)

    _add_releases(app, station)


def _add_releases(app: FastAPI, station: Station) -> None:
    @app.api_route("/releases/{release}/{name:path}", methods=READ, tags=["files"])
    def release_file(release: ReleaseParam, name: str) -> FileResponse:
        """A file of a release; ranges are answered, so that a download can go on."""
        return _file(station.catalog.folder(release), name)

    @app.api_route("/patches/{release}/{name}", methods=READ, tags=["files"])
    def patch_file(release: ReleaseParam, name: str) -> FileResponse:
        """A patch to a release from an older one, or the signed promise about it."""
        return _file(patches_of(station.catalog, release), name)


def _add_sites(app: FastAPI, station: Station) -> None:
    @app.api_route("/sites/{tag}.revision", methods=READ, response_class=PlainTextResponse,
                   tags=["files"])  # fmt: skip
    def site_revision(tag: TagParam) -> str:
        """Which configuration a machine shall keep; so that it need not fetch what it has."""
        with station.database.reading() as session:
            machine = machine_by_tag(session, tag)
            return sites.revision_for(station, machine) if machine else ""

    @app.api_route("/sites/{tag}.dsse.json", methods=READ, tags=["files"])
    def site_file(tag: TagParam) -> FileResponse:
        """A machine's configuration: signed by the station, closed for that machine alone."""
        with station.database.reading() as session:
            return FileResponse(sites.bundle_for(station, session, tag), media_type=JSON)


def _add_tracker(app: FastAPI, tracker: Tracker) -> None:
    @app.get("/announce", tags=["files"])
    async def announce(request: Request) -> Response:
        """Who else on this wire has the same file: a BitTorrent tracker (BEP 3, 23)."""
        address = request.client.host if request.client else ""
        query = request.scope["query_string"]
        return Response(tracker.answer(query, address, time.monotonic()), media_type="text/plain")


def _add_dialogue(app: FastAPI, dialogue: FieldDialogue) -> None:
    answers: dict[str, Callable[[bytes, str], str]] = {
        "register": dialogue.register,
        "poll": dialogue.poll,
        "record": dialogue.record,
        "wanted": dialogue.wanted,
    }

    def add(verb: str, answer: Callable[[bytes, str], str]) -> None:
        @app.post(f"/machine/v1/{verb}", tags=["dialogue"], name=verb, openapi_extra=ENVELOPE)
        async def handle(request: Request) -> Response:
            body = await _body(request)
            address = request.client.host if request.client else ""
            # The database is spoken to in a thread: one slow disk must not silence the others.
            return Response(await run_in_threadpool(answer, body, address), media_type=JSON)

    for verb, answer in answers.items():
        add(verb, answer)


async def _body(request: Request) -> bytes:
    """The envelope as it was sent, byte for byte; the signature is over these bytes."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise TooLargeError(
                f"This request has more than {MAX_BODY_BYTES} bytes; no machine sends so much.",
                "A report names at most 64 disks, and 200 characters a name.",
            )
    return body


def _file(folder: Path, name: str) -> FileResponse:
    """A regular file inside `folder`; links and “..” that leave it count as absent."""
    root = folder.resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise NotFoundError(f"There is no file “{name[:100]}” here.")
    return FileResponse(path)
