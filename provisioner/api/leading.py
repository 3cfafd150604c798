"""Rollouts and renewals over HTTP: what a script may start, watch and stop."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from http import HTTPStatus

from fastapi import APIRouter, Security
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from provisioner.accounts.roles import Right, Who
from provisioner.api import problems
from provisioner.api.auth import TheWho, may
from provisioner.api.operator import BEARER, PREFIX, TheStation, Word
from provisioner.fleet import rollouts
from provisioner.fleet.school import find_school
from provisioner.model.base import Model, ShortText
from provisioner.model.renewal import HomesRule, When
from provisioner.model.rollout import RolloutPlan, RolloutState
from provisioner.store.rollout_tables import RolloutRow
from provisioner.store.tables import now
from provisioner.workshop import field_orders
from provisioner.workshop.in_the_field import roll_out

router = APIRouter(
    prefix=PREFIX,
    tags=["field"],
    dependencies=[Security(BEARER)],
    responses=problems.responses(
        HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY
    ),
)
_NOT_FOUND = problems.responses(HTTPStatus.NOT_FOUND)
_CHANGES = problems.responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)


class Move(StrEnum):
    """What a person may tell a rollout: the keys of `fleet.rollouts.MOVES`."""

    PAUSE = "pause"
    RESUME = "resume"
    TAKE_BACK = "take-back"


class RolloutView(Model):
    """A rollout as it stands; `wave` is the name of the one that it is in."""

    name: str
    value: str
    state: RolloutState
    wave: str
    reason: str
    started_at: datetime
    machines: int
    proved: int
    failed: int
    exposed: int = Field(description="were given it and have not proved it, or failed")


class Wish(Model):
    """What a school's classroom is to be renewed with."""

    release: ShortText = Field(min_length=1)
    when: When = When.QUIET
    homes: HomesRule = HomesRule.KEEP


class Ordered(Model):
    """The machines that will be told when they next speak, by asset tag."""

    machines: tuple[str, ...]


@router.get("/rollouts", summary="What goes to many schools in waves, the newest first")
def list_rollouts(station: TheStation) -> list[RolloutView]:
    with station.database.reading() as session:
        rows = session.scalars(select(RolloutRow).order_by(RolloutRow.id.desc())).all()
        return [_view(session, row) for row in rows]


@router.get("/rollouts/{name}", summary="One rollout", responses=_NOT_FOUND)
def get_rollout(station: TheStation, name: Word) -> RolloutView:
    with station.database.reading() as session:
        return _view(session, rollouts.find(session, name))


@router.post(
    "/rollouts", summary="Start one; an older one of the same track ends",
    responses=_CHANGES, dependencies=[may(Right.ROLLOUTS)], status_code=HTTPStatus.CREATED,
)  # fmt: skip
def start_rollout(station: TheStation, who: TheWho, plan: RolloutPlan) -> RolloutView:
    _must_touch(who, plan)
    with station.database.transaction() as session:
        return _view(session, roll_out(station, session, plan, who.actor))


@router.post(
    "/rollouts/{name}/{move}", summary="Pause it, let it go on, or take it back",
    responses=_CHANGES, dependencies=[may(Right.ROLLOUTS)],
)  # fmt: skip
def move_rollout(station: TheStation, who: TheWho, name: Word, move: Move) -> RolloutView:
    with station.database.transaction() as session:
        _must_touch(who, rollouts.plan_of(rollouts.find(session, name)))
        row = rollouts.order(session, name, move, who.actor)
        rollouts.step(session, now())
        return _view(session, row)


@router.post(
    "/schools/{name}/renew", summary="Renew a classroom; machines hear it when they next speak",
    responses=_CHANGES, dependencies=[may(Right.ORDER)],
)  # fmt: skip
def renew_school(station: TheStation, who: TheWho, name: Word, wish: Wish) -> Ordered:
    who.must_touch(name)
    find_school(station.settings.inventories_dir, name)
    with station.database.transaction() as session:
        rows = field_orders.renew_school(
            station, session, name, wish.release, who.actor, when=wish.when, homes=wish.homes
        )
        return Ordered(machines=tuple(row.asset_tag or "" for row in rows))


def _must_touch(who: Who, plan: RolloutPlan) -> None:
    for school in plan.schools:
        who.must_touch(school)


def _view(session: Session, row: RolloutRow) -> RolloutView:
    plan = rollouts.plan_of(row)
    schools = rollouts.figures(session, row, plan, now())
    return RolloutView(
        name=row.name, value=plan.value, state=RolloutState(row.state),
        wave=plan.waves[row.wave].name, reason=row.reason, started_at=row.started_at,
        machines=sum(one.machines for one in schools), proved=sum(one.healthy for one in schools),
        failed=sum(one.failed for one in schools), exposed=rollouts.exposed(schools),
    )  # fmt: skip
