"""A contest goes to its schools: the layer built and signed, then a rollout in waves.

The layer is made before the transaction begins, for that takes seconds; what it is called depends
on its content alone, so that doing it twice gives the same one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

from sqlalchemy.orm import Session

from provisioner.contest.folder import Contest
from provisioner.contest.judging import rollouts_of
from provisioner.contest.layer import publish_layer
from provisioner.errors import WrongStateError
from provisioner.fleet import rollouts
from provisioner.model.contest import STATES
from provisioner.model.release import Manifest
from provisioner.model.rollout import STANDARD_WAVES, Freeze, RolloutPlan, Wave
from provisioner.release.cache import Cache
from provisioner.store.rollout_tables import RolloutRow
from provisioner.store.tables import now
from provisioner.workshop.station import Station

# What everybody has already is only switched: no day is lost by waves. How many machines may be
# told and unproved at one moment holds all the same.
AT_ONCE = (Wave(name="all", percent=100, proof_hours=0),)


def plan_for(contest: Contest, version: str, state: str) -> RolloutPlan:
    """The waves that bring a version of a contest's layer into a state. Raises WrongStateError.

    Before the contest nothing new is given any more, but for switching it on and off.
    """
    if state not in STATES:
        raise WrongStateError(f"A contest cannot be “{state[:40]}”.", f"Say {', '.join(STATES)}.")
    name, settings = contest.name, contest.settings
    frozen = Freeze(begins=settings.opens - timedelta(hours=settings.freeze_hours),
                    ends=settings.closes)  # fmt: skip
    return RolloutPlan(
        name=f"{name}-{version.replace('.', '-')}-{state}", track=f"contest:{name}",
        value=f"{name}.{version}.{state}", former=f"{name}.0.removed", schools=settings.schools,
        lab=settings.lab, freezes=(frozen,) if state == "prepared" else (),
        waves=STANDARD_WAVES if state == "prepared" else AT_ONCE,
    )  # fmt: skip


def make_layer(station: Station, contest: Contest) -> Manifest:
    """The contest's layer as its folder is now; the newest one stays when nothing changed."""
    settings = station.settings
    return publish_layer(contest, station.catalog, station.key, datetime.now(UTC).date(),
                         settings.playbooks_dir, cache=Cache(settings.cache_dir))  # fmt: skip


def publish(session: Session, contest: Contest, layer: Manifest, state: str,
            actor: str) -> RolloutRow:  # fmt: skip
    """Start the rollout that brings the layer to every enrolled school; also once more, when it
    was in this state before."""
    plan = plan_for(contest, layer.version, state)
    before = {row.name for row in rollouts_of(session, contest.name)}
    names = (f"{plan.name}-{number}" if number > 1 else plan.name for number in count(1))
    fresh = next(name for name in names if name not in before)
    former = next((row.plan["value"] for row in rollouts_of(session, contest.name)
                   if row.plan["value"] != plan.value), plan.former)  # fmt: skip
    plan = RolloutPlan.model_validate({**plan.model_dump(), "name": fresh, "former": former})
    row = rollouts.start(session, plan, now(), actor)
    rollouts.step(session, now())
    return row
