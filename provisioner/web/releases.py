"""Releases: what is in them, who runs which, what differs, building one, promote and withdraw."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from sse_starlette import EventSourceResponse

from provisioner.accounts.roles import Right
from provisioner.api.auth import may
from provisioner.api.operator import HEARTBEAT_S, Word
from provisioner.errors import WrongStateError
from provisioner.model.release import Manifest
from provisioner.web.forms import OwnForm, go, one_line, read_own_form
from provisioner.web.page import TheVisitor, Visitor
from provisioner.web.stream import redrawn
from provisioner.workshop import releases
from provisioner.workshop.builds import Builds
from provisioner.workshop.path import read_manifest
from provisioner.workshop.releases import Standing

router = APIRouter(include_in_schema=False)
# The dependency of the whole router: no form of it can be forgotten.
forms = APIRouter(include_in_schema=False, dependencies=[Depends(read_own_form)])
_RELEASES = [may(Right.RELEASES)]
LOOK_EVERY_S = 1.0
_NEW = (Standing.NEW, "")


def _builds(request: Request) -> Builds:
    builds: Builds = request.app.state.builds
    return builds


TheBuilds = Annotated[Builds, Depends(_builds)]


@router.get("/releases")
def all_releases(visitor: TheVisitor, builds: TheBuilds) -> Response:
    """Every release, the newest first, and the build that runs."""
    with visitor.station.database.reading() as session:
        said, runs = releases.standings(session), releases.who_runs(session)
    return visitor.page(
        "releases", releases=visitor.station.catalog.list()[::-1], said=said, new=_NEW,
        runs=runs, recipes=builds.recipes(), build=builds.last, log=builds.tail(),
        made=builds.made(),
    )  # fmt: skip


@router.get("/releases/build/live")
def live_build(visitor: TheVisitor, builds: TheBuilds) -> EventSourceResponse:
    """The log of the build, whenever it grows."""
    draw = partial(_draw, visitor, builds)
    return EventSourceResponse(redrawn("build-log", draw, LOOK_EVERY_S), ping=HEARTBEAT_S)


@router.get("/releases/{release}")
def one_release(
    visitor: TheVisitor, release: Word, compare: Annotated[Word, Query()] = ""
) -> Response:
    """One release: files, packages, licences, who runs it, and what differs from another."""
    station = visitor.station
    manifest = read_manifest(station, station.catalog.get(release).id)[0]
    other = read_manifest(station, station.catalog.get(compare).id)[0] if compare else None
    with station.database.reading() as session:
        said = releases.standings(session).get(manifest.id, _NEW)
        runs = releases.who_runs(session).get(manifest.id, Counter())
    others = [
        one.id for one in station.catalog.list() if one.name == manifest.name and one != manifest
    ]
    return visitor.page(
        "release", release=manifest, said=said, runs=runs, others=others[::-1], other=other,
        changes=releases.differences(other.components, manifest.components) if other else [],
        licences=licences(manifest), size=sum(file.size for file in manifest.files),
    )  # fmt: skip


@forms.post("/releases/build", dependencies=_RELEASES)
def build(visitor: TheVisitor, builds: TheBuilds, form: OwnForm) -> Response:
    builds.start(form.get("recipe", ""), visitor.who.actor)
    return go("/releases#build")


@forms.post("/releases/{release}/standing", dependencies=_RELEASES)
def say(visitor: TheVisitor, release: Word, form: OwnForm) -> Response:
    """Promote, withdraw, or take back what was said."""
    wanted = form.get("standing", "")
    if wanted not in set(Standing):
        raise WrongStateError("A release is promoted or withdrawn.", "Choose one of them.")
    with visitor.station.database.transaction() as session:
        said = releases.standings(session).get(release, _NEW)[0]
        if form.get("seen", said) != said:
            raise WrongStateError(
                f"Meanwhile somebody else has said that {release} is {said}.",
                "Look at the page as it is now, then decide; nothing of yours was done.",
            )
        reason = one_line(form.get("reason", ""))
        releases.say(visitor.station, session, release, Standing(wanted), reason, visitor.who.actor)
    return go(f"/releases/{release}")


def licences(manifest: Manifest) -> list[tuple[str, int]]:
    """Each licence and how many packages are under it, the commonest first."""
    return Counter(one.licence or "?" for one in manifest.components).most_common()


def _draw(visitor: Visitor, builds: Builds) -> str:
    return visitor.fragment("_build", build=builds.last, log=builds.tail(), made=builds.made())
