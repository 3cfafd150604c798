"""Forms: what a browser sends, read within limits and believed only with our own secret value."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from provisioner.accounts.sessions import is_form_of
from provisioner.api.auth import session_of
from provisioner.errors import UntrustedError

FORM_SECRET = "form_secret"  # noqa: S105 - the field's name
# Who has not logged in sends a login; our longest form is a school's file.
MAX_BYTES, MAX_OWN_BYTES, MAX_FIELDS = 64 * 1024, 256 * 1024, 64
# A box for every school of a country.
MAX_OWN_FIELDS = 2000
# A phone's photo.
MAX_FILE_BYTES = 16 * 1024 * 1024
_MULTIPART = "multipart/form-data"
_FIELD_NAME = re.compile(rb'; ?name="([^"]{1,80})"')

Fields = dict[str, str]


async def read_form(request: Request) -> Fields:
    """The fields of a URL-encoded form; of a field that comes twice, the last one."""
    return await _read(request, MAX_BYTES, MAX_FIELDS)


async def _read(request: Request, limit: int, most: int) -> Fields:
    try:
        text = (await _body(request, limit)).decode("utf-8")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=most))
    except ValueError as error:
        raise HTTPException(400) from error


async def _body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HTTPException(413)
    return bytes(body)


def parse_multipart(body: bytes, kind: str) -> tuple[Fields, dict[str, bytes]]:
    """The fields and the files of a form (RFC 7578). Raises HTTPException for what is none.

    Several files of one field are called NAME, NAME-1, NAME-2 and so on.
    """
    boundary = kind.partition("boundary=")[2].strip('"').encode("latin-1")
    if not 1 <= len(boundary) <= 70:  # RFC 2046, 5.1.1
        raise HTTPException(400)
    fields: Fields = {}
    files: dict[str, bytes] = {}
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary)
    for part in parts[1:-1][:MAX_FIELDS]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = _FIELD_NAME.search(head)
        if name is None:
            raise HTTPException(400)
        if b"filename=" in head:
            key = name[1].decode("utf-8", "replace")
            files[key if key not in files else f"{key}-{len(files)}"] = content
        else:
            fields[name[1].decode("utf-8", "replace")] = content.decode("utf-8", "replace")
    return fields, files


async def read_own_form(request: Request) -> Fields:
    """The fields of a form of ours. Raises UntrustedError for one that another site made."""
    kind = request.headers.get("content-type", "")
    if kind.startswith(_MULTIPART):
        body = await _body(request, MAX_FILE_BYTES)
        fields, request.state.files = parse_multipart(body, kind)
    else:
        fields = await _read(request, MAX_OWN_BYTES, MAX_OWN_FIELDS)
    secret = fields.pop(FORM_SECRET, "")
    if not is_form_of(session_of(request), secret):
        raise UntrustedError(
            "This form does not come from this session's page.",
            "Load the page again and repeat what you did; nothing was changed.",
        )
    return fields


AnyForm = Annotated[Fields, Depends(read_form)]
OwnForm = Annotated[Fields, Depends(read_own_form)]


def go(address: str) -> Response:
    """Where a form leads when it is done: a page that may be loaded again."""
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER)


def one_line(text: str, limit: int = 200) -> str:
    """What was typed into a field, as one line of signs that can be shown."""
    return "".join(sign for sign in " ".join(text.split()) if sign.isprintable())[:limit]
