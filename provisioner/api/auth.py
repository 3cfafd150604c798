"""Who may come in by the people's door: everybody who holds the operator's token.

Programs send the token as a bearer token. People type it once; their browser then keeps a
session cookie that is derived from it and expires. Nothing is open unless it is listed here:
the guard stands before all routes, so that a new route cannot be forgotten. Cookies are
SameSite=Strict and every form carries a value that only our own pages know.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from provisioner.api.problems import TYPE_PREFIX, ProblemDocument, problem_response
from provisioner.workshop.station import OPERATOR_TOKEN, Station

API_PREFIX = "/api/"
LOGIN = "/login"
HEALTH = "/healthz"
STATIC_PREFIX = "/static/"
SESSION_COOKIE = "provisioner_session"
# A working day; an operator logs in each morning.
SESSION_SECONDS = 12 * 3600

API_ACTOR = "api"
DASHBOARD_ACTOR = "dashboard"


class Doorkeeper:
    """Knows the token; makes and checks sessions and the forms' secret values."""

    def __init__(self, token: str, clock: Callable[[], float] = time.time) -> None:
        self._token = token.encode()
        self._clock = clock

    def knows(self, token: str) -> bool:
        """Whether this is the operator's token; takes equally long for any wrong one."""
        return hmac.compare_digest(token.strip().encode(), self._token)

    def new_session(self) -> str:
        """A session that ends after SESSION_SECONDS, or when the token is changed."""
        body = f"{int(self._clock()) + SESSION_SECONDS}.{secrets.token_urlsafe(16)}"
        return f"{body}.{self._sign('session', body)}"

    def is_session(self, cookie: str) -> bool:
        """Whether we made this session and it has not ended."""
        body, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign("session", body).encode()):
            return False
        return self._clock() < float(body.partition(".")[0])

    def form_secret(self, cookie: str) -> str:
        """What every form of this session carries; another site cannot know it."""
        return self._sign("form", cookie)

    def is_form_of(self, cookie: str, form_secret: str) -> bool:
        return hmac.compare_digest(form_secret.encode(), self.form_secret(cookie).encode())

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._token, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def doorkeeper_of(station: Station) -> Doorkeeper:
    """The doorkeeper who knows this station's token."""
    return Doorkeeper((station.settings.state_dir / OPERATOR_TOKEN).read_text().strip())


class Guard:
    """The middleware before all routes: no token and no session means no answer."""

    def __init__(self, app: ASGIApp, doorkeeper: Doorkeeper) -> None:
        self._app, self._doorkeeper = app, doorkeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._may_pass(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await _turn_away(scope)(scope, receive, send)
        else:  # we have no WebSockets
            await send({"type": "websocket.close"})

    def _may_pass(self, scope: Scope) -> bool:
        if scope["type"] != "http":
            return False
        path = scope["path"]
        if is_open(path):
            return True
        if path.startswith(API_PREFIX):
            return self._doorkeeper.knows(_bearer(Headers(scope=scope)))
        return self._doorkeeper.is_session(session_of(HTTPConnection(scope)))


def is_open(path: str) -> bool:
    """The only addresses that need neither token nor session."""
    return path in (LOGIN, HEALTH) or path.startswith(STATIC_PREFIX)


def session_of(connection: HTTPConnection) -> str:
    """The session cookie as it was sent, unchecked; empty without one."""
    return connection.cookies.get(SESSION_COOKIE, "")


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
        detail="This address needs the operator's token.",
        hint=f"The token is in the file {OPERATOR_TOKEN} in the station's state folder.",
    )
    return problem_response(problem, {"WWW-Authenticate": "Bearer"})
