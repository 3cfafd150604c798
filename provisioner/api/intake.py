"""The operator's doors for intake: who a machine is, its grade, labels and certificates."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Security
from pydantic import Field

from provisioner.api import problems
from provisioner.api.auth import API_ACTOR
from provisioner.api.operator import BEARER, PREFIX, Number, TheStation
from provisioner.model.base import Model, ShortText
from provisioner.workshop import recognition

router = APIRouter(
    prefix=PREFIX,
    dependencies=[Security(BEARER)],
    responses=problems.responses(HTTPStatus.UNAUTHORIZED, HTTPStatus.UNPROCESSABLE_ENTITY),
)
_CHANGES = problems.responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)


class Who(Model):
    """Which machine a newcomer is; without a tag, one that was never here."""

    tag: ShortText | None = Field(None, min_length=1)


class Answered(Model):
    """The machine that the answer led to; without a tag while no batch is open."""

    id: int
    asset_tag: str


@router.post(
    "/waiting/{number}/who",
    tags=["machines"],
    summary="Say who a machine is that shares a part with a known one",
    responses=_CHANGES,
)
def say_who(station: TheStation, number: Number, answer: Who) -> Answered:
    with station.database.transaction() as session:
        row = recognition.say_who(station, session, number, answer.tag, API_ACTOR)
        return Answered(id=row.id, asset_tag=row.asset_tag or "")
