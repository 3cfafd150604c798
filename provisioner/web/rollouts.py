"""Rollouts: what goes to many schools in waves, how far it is, and what a person decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http import HTTPStatus
from itertools import accumulate
from typing import Any

from fastapi import APIRouter, Depends, Response
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session
from sse_starlette import EventSourceResponse

from provisioner.accounts.roles import Right
from provisioner.api import reading
from provisioner.api.auth import may
from provisioner.api.operator import HEARTBEAT_S, Word
from provisioner.api.problems import ProblemDocument, describe, describe_invalid
from provisioner.errors import ProvisionerError, WrongStateError
from provisioner.fleet import rollouts
from provisioner.fleet.rollout import Figures, SchoolFigures, cap, decide, target
from provisioner.model.release import ReleaseKind
from provisioner.model.rollout import MachineState, RolloutPlan
from provisioner.store.rollout_tables import RolloutMachineRow, RolloutRow
from provisioner.store.tables import MachineRow, now
from provisioner.web.forms import Fields, OwnForm, go, read_own_form
from provisioner.web.page import TheVisitor, Visitor
from provisioner.web.stream import redrawn
from provisioner.workshop import releases
from provisioner.workshop.in_the_field import roll_out

router = APIRouter(include_in_schema=False)
# The dependency of the whole router: no form of it can be forgotten.
forms = APIRouter(include_in_schema=False, dependencies=[Depends(read_own_form)])
_LEAD = [may(Right.ROLLOUTS)]
LOOK_EVERY_S = 2.0
MOST_FAILURES = 100


@dataclass(frozen=True)
class Seen:
    """One rollout as it stands: its plan, every school's figures, and why it waits.

    `schools` come with those first that need a look; `sizes` are machines at each wave's end.
    """

    row: RolloutRow
    plan: RolloutPlan
    schools: list[SchoolFigures]
    figures: Figures
    most: int
    sizes: tuple[int, ...]
    waits: str
    frozen_until: datetime | None

    @property
    def state(self) -> str:
        return self.row.state

    @property
    def moves(self) -> tuple[str, ...]:
        """What a person may tell it now."""
        return tuple(move for move, (where, _) in rollouts.MOVES.items() if self.state in where)


def look(session: Session, row: RolloutRow) -> Seen:
    """A rollout with its figures at this moment; decides nothing."""
    plan, at = rollouts.plan_of(row), now()
    schools = rollouts.figures(session, row, plan, at)
    decision = decide(plan, row.wave, schools, at)
    frozen = [one.ends for one in plan.freezes if one.holds(at)]
    return Seen(
        row, plan, sorted(schools, key=_first), decision.figures, cap(plan, schools),
        tuple(accumulate((target(plan, wave, schools) for wave in range(len(plan.waves))), max)),
        decision.reason, max(frozen, default=None),
    )  # fmt: skip


@router.get("/rollouts")
def all_rollouts(visitor: TheVisitor) -> Response:
    """Every rollout: what is under way first, then the newest."""
    with visitor.station.database.reading() as session:
        rows = session.scalars(select(RolloutRow).order_by(RolloutRow.id.desc())).all()
        found = [look(session, row) for row in rows]
    found.sort(key=lambda one: (one.state not in rollouts.UNDER_WAY, -one.row.id))
    return visitor.page("rollouts", rollouts=found)


@router.get("/rollouts/new", dependencies=_LEAD)
def new_rollout(visitor: TheVisitor) -> Response:
    """A release for many schools, in waves."""
    return _new(visitor, {})


@forms.post("/rollouts", dependencies=_LEAD)
def start(visitor: TheVisitor, form: OwnForm) -> Response:
    """A mistake leaves everything that was filled in where it was."""
    try:
        plan = RolloutPlan.model_validate(_plan(form))
        _must_touch(visitor, plan)
        with visitor.station.database.transaction() as session:
            roll_out(visitor.station, session, plan, visitor.who.actor)
    except ValidationError as error:
        return _new(visitor, form, describe_invalid(error.errors()))
    except ProvisionerError as error:
        return _new(visitor, form, describe(error))
    return go(f"/rollouts/{plan.name}")


@router.get("/rollouts/{name}")
def one_rollout(visitor: TheVisitor, name: Word) -> Response:
    """One rollout: waves, figures, schools, machines that failed."""
    return visitor.page("rollout", **_about(visitor, name))


@router.get("/rollouts/{name}/live")
def live_rollout(visitor: TheVisitor, name: Word) -> EventSourceResponse:
    """What changes on its page."""
    _about(visitor, name)  # NotFoundError now, not in the stream
    draw = partial(_draw, visitor, name)
    return EventSourceResponse(redrawn("rollout", draw, LOOK_EVERY_S), ping=HEARTBEAT_S)


@forms.post("/rollouts/{name}/{move}", dependencies=_LEAD)
def order(visitor: TheVisitor, name: Word, move: Word, form: OwnForm) -> Response:
    """Pause, resume, take back; or account for a school that is silent."""
    with visitor.station.database.transaction() as session:
        row = rollouts.find(session, name)
        _must_touch(visitor, rollouts.plan_of(row))
        if move == "account-for":
            rollouts.account_for(session, name, form.get("school", ""), visitor.who.actor)
        elif move in rollouts.MOVES:
            if move == "take-back" and form.get("confirm", "").strip() != name:
                raise WrongStateError(
                    "The name that was typed is not this rollout's.",
                    f"Go back and type {name[:63]} to confirm; nothing was changed.",
                )
            rollouts.order(session, name, move, visitor.who.actor)
        else:
            raise WrongStateError("A rollout is paused, resumed or taken back.")
        rollouts.step(session, now())
    visitor.station.board.touch()
    return go(f"/rollouts/{name}")


def _about(visitor: Visitor, name: str) -> dict[str, Any]:
    with visitor.station.database.reading() as session:
        row = rollouts.find(session, name)
        m = RolloutMachineRow
        query = (
            select(MachineRow.asset_tag, m.school, m.problem)
            .join(MachineRow, MachineRow.id == m.machine_id)
            .where(m.rollout_id == row.id, m.state == MachineState.FAILED)
            .order_by(m.school, MachineRow.asset_tag)
        )
        failed = session.execute(query.limit(MOST_FAILURES)).all()
        return {"one": look(session, row), "failed": failed}


def _draw(visitor: Visitor, name: str) -> str:
    return visitor.fragment("_rollout", **_about(visitor, name))


def _first(school: SchoolFigures) -> tuple[bool, bool, bool, str]:
    """Failures, then silence, then who has it, then who waits."""
    return not school.failed, not school.told_silent, school.wave is None, school.school


def _must_touch(visitor: Visitor, plan: RolloutPlan) -> None:
    for school in plan.schools:
        visitor.who.must_touch(school)


def _plan(form: Fields) -> dict[str, object]:
    """A form's fields as a plan; schools that take part have a box school-NAME."""
    box = "school-"
    schools = sorted(name.removeprefix(box) for name in form if name.startswith(box))
    return {
        "name": form.get("name", "").strip(), "track": "release", "value": form.get("value", ""),
        "former": form.get("former", ""), "schools": schools,
        "lab": [form["lab"]] if form.get("lab") else [],
    }  # fmt: skip


def _new(visitor: Visitor, filled: Fields, problem: ProblemDocument | None = None) -> Response:
    station = visitor.station
    schools = [one for one in reading.schools(station.settings) if visitor.who.may_touch(one.id)]
    with station.database.reading() as session:
        offered = releases.offered(station, session)
        ages = reading.machines_in_service(session)
    every = [one.id for one in station.catalog.list()[::-1] if one.kind is ReleaseKind.SYSTEM]
    return visitor.page(
        "rollout_new", status=problem.status if problem else HTTPStatus.OK, filled=filled,
        schools=[one for one in schools if ages.get(one.id)], machines=ages, offered=offered,
        every=every, problem=problem,
    )  # fmt: skip
