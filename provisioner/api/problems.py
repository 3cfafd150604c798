"""Errors over HTTP, in one shape: RFC 9457 problem documents.

Every error of `provisioner.errors`, every request that does not fit its model and every unknown
address becomes `application/problem+json` with type, title, status, detail and our hint. What
nobody foresaw becomes a bare 500 without a word of its inside; the log has the traceback.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from provisioner import errors

MEDIA_TYPE = "application/problem+json"
# A name for each kind of problem, not an address: nothing is to be fetched from it.
TYPE_PREFIX = "urn:classroom-provisioner:problem:"
UNFORESEEN = "unforeseen"
INVALID_REQUEST = "invalid-request"

log = logging.getLogger(__name__)

# What a caller sees of each kind: a slug, a status, a title. 5xx only where the station itself
# is at fault.
_S = HTTPStatus
# fmt: off
KINDS: dict[type[errors.ProvisionerError], tuple[str, HTTPStatus, str]] = {
    errors.ConfigError: ("config", _S.UNPROCESSABLE_ENTITY, "A file or a setting is wrong"),
    errors.UntrustedError: ("untrusted", _S.FORBIDDEN, "This cannot be trusted"),
    errors.TooLargeError: ("too-large", _S.REQUEST_ENTITY_TOO_LARGE, "This is too large"),
    errors.NotAllowedError: ("not-allowed", _S.FORBIDDEN, "You may not do this"),
    errors.DiskChoiceError: ("disk-choice", _S.CONFLICT, "A person must choose the disk"),
    errors.DiskFaultError: ("disk-fault", _S.CONFLICT, "A disk is faulty"),
    errors.WipeRefusedError: ("wipe-refused", _S.CONFLICT, "A disk cannot be erased as demanded"),
    errors.DriveFrozenError: ("drive-frozen", _S.CONFLICT, "A drive's commands are frozen"),
    errors.ImageMismatchError: ("image-mismatch", _S.CONFLICT, "Data differ from the release"),
    errors.ProofMissingError: ("proof-missing", _S.CONFLICT, "This is not proved"),
    errors.WrongStateError: ("wrong-state", _S.CONFLICT, "This does not fit now"),
    errors.NotFoundError: ("not-found", _S.NOT_FOUND, "There is no such thing here"),
    errors.RenewalInterruptedError: ("interrupted", _S.CONFLICT, "A renewal was cut short"),
    errors.NewSystemSilentError: ("new-system-silent", _S.CONFLICT, "A release did not come up"),
    errors.UnreachableError: ("unreachable", _S.SERVICE_UNAVAILABLE, "It does not answer"),
    errors.CommandError: ("command", _S.INTERNAL_SERVER_ERROR, "A tool of the station failed"),
    errors.StationError: ("station", _S.INTERNAL_SERVER_ERROR, "The station lacks something"),
    errors.ProvisionerError: ("error", _S.INTERNAL_SERVER_ERROR, "This did not work"),
}
# fmt: on


class FieldMistake(BaseModel):
    """One field of a request that does not fit."""

    field: str = Field(description="where, for example body.size")
    message: str


class ProblemDocument(BaseModel):
    """An RFC 9457 problem; `hint` says what to do next, `mistakes` lists fields."""

    type: str
    title: str
    status: int
    detail: str
    hint: str = ""
    mistakes: list[FieldMistake] = []


Show = Callable[[Request, ProblemDocument], Response | None]


def install(app: FastAPI, show: Show | None = None, races: Sequence[type[Exception]] = ()) -> None:
    """Make `app` answer every error with a problem document.

    `show` may answer in another form instead, for browsers; None from it means JSON. `races` are
    errors by which a database says that somebody else was first.
    """

    def answer(request: Request, problem: ProblemDocument, headers: Any = None) -> Response:
        shown = show(request, problem) if show is not None else None
        return shown or problem_response(problem, headers)

    @app.exception_handler(errors.ProvisionerError)
    def _ours(request: Request, error: errors.ProvisionerError) -> Response:
        return answer(request, describe(error))

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(request, describe_invalid(error.errors()))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        return answer(request, describe_status(error.status_code, request.url.path), error.headers)

    def _overtaken(request: Request, error: Exception) -> Response:
        log.warning("%s %s came second: %s", request.method, request.url.path, error)
        return answer(request, describe(_OVERTAKEN))

    for race in races:
        app.add_exception_handler(race, _overtaken)

    @app.exception_handler(Exception)
    def _unforeseen(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return answer(request, _UNFORESEEN)


def problem_response(problem: ProblemDocument, headers: Any = None) -> JSONResponse:
    """The problem as the response that a program reads."""
    return JSONResponse(
        problem.model_dump(), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers
    )


def describe(error: errors.ProvisionerError) -> ProblemDocument:
    """The problem document of one of our errors."""
    kind = next(kind for kind in type(error).__mro__ if kind in KINDS)
    slug, status, title = KINDS[kind]
    return ProblemDocument(
        type=TYPE_PREFIX + slug, title=title, status=status, detail=error.message, hint=error.hint
    )


def describe_invalid(found: Sequence[Any]) -> ProblemDocument:
    """The problem document of a request that does not fit; what was sent is not repeated."""
    mistakes = [
        FieldMistake(field=".".join(str(part) for part in entry["loc"]), message=entry["msg"])
        for entry in found
    ]
    return ProblemDocument(
        type=TYPE_PREFIX + INVALID_REQUEST,
        title="The request does not fit",
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        detail=" ".join(f"{mistake.field}: {mistake.message}." for mistake in mistakes),
        hint="Mend the fields that are named and send it again.",
        mistakes=mistakes,
    )


def describe_status(status: int, path: str) -> ProblemDocument:
    """The problem document of a bare HTTP status, such as that of an unknown address."""
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
    detail = {
        HTTPStatus.NOT_FOUND: f"There is nothing at {path}.",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{path} does not take this method.",
    }.get(HTTPStatus(status) if status in set(HTTPStatus) else HTTPStatus.IM_A_TEAPOT, phrase + ".")
    return ProblemDocument(type="about:blank", title=phrase, status=status, detail=detail)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries for the problems that a route may answer with."""
    return {
        status: {
            "model": ProblemDocument,
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
        }
        for status in statuses
    }


_OVERTAKEN = errors.WrongStateError(
    "Meanwhile somebody else has done the same; nothing of yours was done.",
    "Look at the page as it is now, then decide.",
)
_UNFORESEEN = ProblemDocument(
    type=TYPE_PREFIX + UNFORESEEN,
    title="Something went wrong that nobody foresaw",
    status=HTTPStatus.INTERNAL_SERVER_ERROR,
    detail="The station could not answer.",
    hint="The station's log says why.",
)
