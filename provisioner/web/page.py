"""Rendering: a visitor's language, and templates into responses with safe headers."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, Response

from provisioner.accounts import sessions
from provisioner.accounts.roles import Right, Who
from provisioner.api.auth import API_PREFIX, session_of
from provisioner.api.operator import station_of
from provisioner.api.problems import ProblemDocument
from provisioner.templating import render
from provisioner.web.gist import gist
from provisioner.web.parts import order_of
from provisioner.web.speech import NAMES, Speech, choose_language
from provisioner.workshop.station import Station

LANGUAGE_COOKIE = "provisioner_language"
_YEAR_S = 365 * 24 * 3600
# Everything comes from this station; no script or style stands inside a page.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


NOBODY = Who(actor="", rights=frozenset())


@dataclass(frozen=True)
class Visitor:
    """Who looks at a page: the station they look at, their language, their forms' secret."""

    station: Station
    speech: Speech
    form_secret: str
    path: str
    who: Who = NOBODY
    keep_language: bool = False

    def fragment(self, template: str, **values: Any) -> str:
        """A part of a page as HTML."""
        return render(
            f"web/{template}.html.j2",
            t=self.speech,
            _=self.speech.text,
            form_secret=self.form_secret,
            who=self.who,
            Right=Right,
            order_of=order_of,
            gist=gist,
            **values,
        )

    def page(self, template: str, status: int = HTTPStatus.OK, **values: Any) -> HTMLResponse:
        """A whole page."""
        html = self.fragment(template, path=self.path, languages=NAMES, **values)
        response = HTMLResponse(html, status_code=status, headers=HEADERS)
        if self.keep_language:
            response.set_cookie(
                LANGUAGE_COOKIE,
                self.speech.language,
                max_age=_YEAR_S,
                samesite="lax",
                httponly=True,
            )
        return response


def visitor_of(request: Request) -> Visitor:
    """The visitor behind a request. Whether they may come in was settled by the guard."""
    asked = request.query_params.get("lang")
    language = choose_language(
        asked,
        request.cookies.get(LANGUAGE_COOKIE),
        request.headers.get("accept-language", ""),
        station_of(request).settings.language,
    )
    return Visitor(
        station=station_of(request),
        speech=Speech(language),
        form_secret=sessions.form_secret(session_of(request)),
        who=getattr(request.state, "who", NOBODY),
        path=request.url.path,
        keep_language=asked == language,
    )


def show_problem(request: Request, problem: ProblemDocument) -> Response | None:
    """A problem as a page, for browsers; None leaves it to be JSON."""
    if request.url.path.startswith(API_PREFIX):
        return None
    return visitor_of(request).page("problem", status=problem.status, problem=problem)


TheVisitor = Annotated[Visitor, Depends(visitor_of)]
