"""The dashboard: pages for a volunteer's browser, beside the operator's API."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from provisioner.api.operator import make_operator_app
from provisioner.web import actions, contest, pages, papers, stream
from provisioner.web.page import show_problem
from provisioner.workshop.station import OPERATOR_TOKEN, Station

STATIC = Path(__file__).parent / "static"


def make_operator_side(station: Station) -> FastAPI:
    """The operator's API with the dashboard's pages: all that is behind the token."""
    app = make_operator_app(station, show=show_problem)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.include_router(pages.router)
    app.include_router(actions.router)
    app.include_router(papers.router)
    app.include_router(papers.forms)
    app.include_router(stream.router)
    app.include_router(contest.router)
    return app


def login_link(station: Station) -> str:
    """The dashboard's address; what follows the # logs in and is never sent to a server log."""
    token = (station.settings.state_dir / OPERATOR_TOKEN).read_text().strip()
    settings = station.settings
    return f"http://{settings.operator_host}:{settings.operator_port}/login#{token}"
