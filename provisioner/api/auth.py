"""Who may come in by the people's door, and what they may do there.

People log in and their browser keeps a session cookie; programs send a token as a bearer token.
Nothing is open unless it is listed here: the guard stands before all routes, so that a new route
cannot be forgotten. What changes something must name the right that it needs with `may()`; one
that names none is refused to everybody. Cookies are SameSite=Strict and every form carries a value
that only our own pages know.
"""

from __future__ import annotations

import hmac
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

from anyio.to_thread import run_sync
from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from provisioner.accounts import sessions, tokens
from provisioner.accounts.roles import Right, Who
from provisioner.accounts.throttle import Throttle
from provisioner.api.problems import TYPE_PREFIX, ProblemDocument, problem_response
from provisioner.errors import NotAllowedError
from provisioner.workshop.station import OPERATOR_TOKEN, Station

API_PREFIX = "/api/"
LOGIN = "/login"
HEALTH = "/healthz"
STATIC_PREFIX = "/static/"
SESSION_COOKIE = "provisioner_session"

API_ACTOR = "api"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# The token in the station's own folder: whoever reads it reads the database, too.
STATION_ITSELF = Who(actor=API_ACTOR, rights=frozenset(Right))


class Doorkeeper:
    """Knows who a token or a session belongs to."""

    def __init__(self, station: Station) -> None:
        self._station = station
        path = station.settings.state_dir / OPERATOR_TOKEN
        self._token = path.read_text().strip().encode()
        self.throttle = Throttle()

    def knows(self, token: str) -> bool:
        """Whether this is the station's own token; takes equally long for any wrong one."""
        return hmac.compare_digest(token.strip().encode(), self._token)

    def by_token(self, token: str) -> Who | None:
        if self.knows(token):
            return STATION_ITSELF
        with self._station.database.reading() as session:
            return tokens.whose_token(session, token)

    def by_session(self, cookie: str) -> Who | None:
        with self._station.database.reading() as session:
            return sessions.whose_session(session, cookie)


class Guard:
    """The middleware before all routes: no token and no session means no answer."""

    def __init__(self, app: ASGIApp, doorkeeper: Doorkeeper) -> None:
        self._app, self._doorkeeper = app, doorkeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":  # we have no WebSockets
            await send({"type": "websocket.close"})
        elif is_open(scope["path"]):
            await self._app(scope, receive, send)
        else:
            who = await run_sync(self._who, scope)
            if who is None:
                await _turn_away(scope)(scope, receive, send)
            else:
                scope.setdefault("state", {})["who"] = who
                await self._app(scope, receive, send)

    def _who(self, scope: Scope) -> Who | None:
        if scope["path"].startswith(API_PREFIX):
            return self._doorkeeper.by_token(_bearer(Headers(scope=scope)))
        return self._doorkeeper.by_session(session_of(HTTPConnection(scope)))


def is_open(path: str) -> bool:
    """The only addresses that need neither token nor session."""
    return path in (LOGIN, HEALTH) or path.startswith(STATIC_PREFIX)


def session_of(connection: HTTPConnection) -> str:
    """The session cookie as it was sent, unchecked; empty without one."""
    return connection.cookies.get(SESSION_COOKIE, "")


def who_of(request: Request) -> Who:
    """Whoever the guard let in."""
    who: Who = request.state.who
    return who


TheWho = Annotated[Who, Depends(who_of)]


class _May:
    """The dependency that `may()` makes; tests and `declared` find the right in it."""

    def __init__(self, right: Right) -> None:
        self.right = right

    def __call__(self, request: Request) -> Who:
        who = who_of(request)
        if not who.may(self.right):
            raise NotAllowedError(
                f"{who.actor} may not do this: it needs the right “{self.right}”.",
                "Ask somebody who may; an administrator can change what you may do.",
            )
        return who


def may(right: Right) -> Any:
    """The dependency of a route that changes something, or shows what is not for everybody."""
    return Depends(_May(right))


def right_of(route: Any) -> Right | None:
    """The right that a route names, directly or through its router."""
    calls = [dependency.call for dependency in route.dependant.dependencies]
    return next((call.right for call in calls if isinstance(call, _May)), None)


def declared(request: Request) -> None:
    """Refuses what changes something and names no right: a forgotten one opens nothing."""
    if request.method in SAFE or is_open(request.url.path):
        return
    route = request.scope.get("route")
    if route is None or right_of(route) is None:
        raise NotAllowedError("This address names no right, so nobody has it.", "Report it.")


def _bearer(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


def _turn_away(scope: Scope) -> Response:
    """Programs are told why; browsers are sent to the login page, and nothing is done."""
    path = scope.get("path", "/")
    if not path.startswith(API_PREFIX):
        back = f"?next={quote(path)}" if scope.get("method") == "GET" and path != "/" else ""
        return RedirectResponse(LOGIN + back, status_code=HTTPStatus.SEE_OTHER)
    problem = ProblemDocument(
        type=TYPE_PREFIX + "login",
        title="Log in first",
        status=HTTPStatus.UNAUTHORIZED,
        detail="This address needs a token that is in force.",
        hint="An administrator makes one: provisioner token add NAME --scope look.",
    )
    return problem_response(problem, {"WWW-Authenticate": "Bearer"})
