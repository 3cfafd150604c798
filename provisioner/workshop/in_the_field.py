"""What a machine in the field asks beside its orders: which release and contest it shall have."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from types import TracebackType

from sqlalchemy.orm import Session

from provisioner.fleet import rollouts
from provisioner.model.rollout import RolloutPlan, WantedReply, WantedRequest
from provisioner.model.signed import open_envelope
from provisioner.store.rollout_tables import RolloutRow
from provisioner.store.tables import now
from provisioner.workshop import releases
from provisioner.workshop.contest_places import with_places
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import Station

# So many of the field's ordinary words between two questions of what is wanted.
WORDS_BETWEEN = 3
STEP_S = 60.0
# The kind of track on which schools get their system; a plan's values are NAME@VERSION then.
RELEASES = "release"

log = logging.getLogger(__name__)


def roll_out(station: Station, session: Session, plan: RolloutPlan, actor: str) -> RolloutRow:
    """Start what a person planned, and its first wave.

    Raises NotFoundError for a release that the station does not have, ConfigError for a live
    environment, WrongStateError for a withdrawn release and where `rollouts.start` does. The
    former release may be withdrawn: it is what machines have, and better than none.
    """
    if plan.track.partition(":")[0] == RELEASES:
        releases.installable(station, session, plan.value)
        station.catalog.get(plan.former)
    row = rollouts.start(session, plan, now(), actor)
    rollouts.step(session, now())
    return row


class FieldDialogue(Dialogue):
    """The dialogue with one more question. `clock` is the station's, another in simulations."""

    def __init__(self, station: Station, clock: Callable[[], datetime] = now) -> None:
        super().__init__(station)
        self._clock = clock

    def wanted(self, body: bytes, address: str) -> str:
        """Take in what a machine has and answer with what it shall have. Raises UntrustedError,
        NotFoundError."""
        request, key = open_envelope(body, WantedRequest, trusted=None)
        at = self._clock()
        with self._station.database.transaction() as session:
            row, machine = self._known(session, key)
            self._accept(row, request)
            told = rollouts.answer(session, machine.id, request.reports, at)
            shown = with_places(self._station, session, machine.id, told)
        again_s = WORDS_BETWEEN * self._station.settings.field_poll_s
        reply = WantedReply(to_key=key, counter=request.counter, wanted=shown, ask_again_s=again_s)
        return self._station.key.seal(reply)


class Waves:
    """Decides about all rollouts once a minute while the station serves.

    It remembers nothing between two minutes: another station on the same database may take over.
    """

    def __init__(self, station: Station) -> None:
        self._station, self._stop = station, threading.Event()
        self._thread = threading.Thread(target=self._loop, name="waves", daemon=True)

    def __enter__(self) -> Waves:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._stop.set()
        self._thread.join(timeout=10)

    def _loop(self) -> None:
        while not self._stop.wait(STEP_S):
            try:
                with self._station.database.transaction() as session:
                    decided = rollouts.step(session, now())
            except Exception:
                log.exception("deciding about rollouts failed; trying again")
                continue
            for name, decision in decided:
                log.warning("Rollout %s: %s (%s)", name, decision.verdict, decision.reason)
