"""The dashboard: pages for a volunteer's browser, beside the operator's API."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles

from provisioner.accounts import people, sessions
from provisioner.api.operator import make_operator_app
from provisioner.web import (
    actions,
    batches,
    contest,
    contest_more,
    donors,
    door,
    journal,
    pages,
    papers,
    releases,
    renewals,
    rollouts,
    schools,
    stream,
)
from provisioner.web.page import show_problem
from provisioner.workshop.station import Station

STATIC = Path(__file__).parent / "static"


def make_operator_side(station: Station) -> FastAPI:
    """The operator's API with the dashboard's pages: all that is behind the token."""
    app = make_operator_app(station, show=show_problem)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for part in (door, batches, schools, renewals, releases, rollouts, contest, donors, papers):
        app.include_router(part.router)
        app.include_router(part.forms)
    for router in (journal.router, pages.router, actions.router, stream.router):
        app.include_router(router)
    app.include_router(contest_more.router)
    app.include_router(contest_more.forms)
    # Middleware that is added last stands first: the guard decides before anything is packed.
    app.user_middleware.append(Middleware(GZipMiddleware, minimum_size=2000, compresslevel=6))
    return app


def login_link(station: Station, actor: str) -> str:
    """The dashboard's address with a code that lets the first administrator in, once.

    What follows the # is never sent to a server's log.
    """
    with station.database.transaction() as session:
        code = sessions.new_code(session, people.first_administrator(session, actor), actor)
    return f"{address(station)}/login#{code}"


def address(station: Station) -> str:
    """Where people reach the dashboard on the station itself."""
    settings = station.settings
    scheme = "https" if settings.operator_tls else "http"
    return f"{scheme}://{settings.operator_host}:{settings.operator_port}"


def somebody_can_log_in(station: Station) -> bool:
    """Whether an administrator has chosen a password: until then the console lets one in."""
    with station.database.reading() as session:
        return not people.nobody_has_come_in(session)
