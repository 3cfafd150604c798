"""Forms: what a browser sends, read within limits and believed only with our own secret value."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from provisioner.api.auth import session_of
from provisioner.api.operator import doorkeeper_from
from provisioner.errors import UntrustedError

FORM_SECRET = "form_secret"  # noqa: S105 - the field's name
# Our longest form is a batch: eight short fields.
MAX_BYTES, MAX_FIELDS = 64 * 1024, 64

Fields = dict[str, str]


async def read_form(request: Request) -> Fields:
    """The fields of a URL-encoded form; of a field that comes twice, the last one."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise HTTPException(413)
    try:
        text = body.decode("utf-8")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise HTTPException(400) from error


async def read_own_form(request: Request) -> Fields:
    """The fields of a form of ours. Raises UntrustedError for one that another site made."""
    fields = await read_form(request)
    secret = fields.pop(FORM_SECRET, "")
    if not doorkeeper_from(request).is_form_of(session_of(request), secret):
        raise UntrustedError(
            "This form does not come from this session's page.",
            "Load the page again and repeat what you did; nothing was changed.",
        )
    return fields


AnyForm = Annotated[Fields, Depends(read_form)]
OwnForm = Annotated[Fields, Depends(read_own_form)]
