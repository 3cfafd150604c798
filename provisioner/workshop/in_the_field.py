"""What a machine in the field asks beside its orders: which release and contest it shall have."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from types import TracebackType

from provisioner.fleet import rollouts
from provisioner.model.rollout import WantedReply, WantedRequest
from provisioner.model.signed import open_envelope
from provisioner.store.tables import now
from provisioner.workshop.contest_places import with_places
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import Station

# So many of the field's ordinary words between two questions of what is wanted.
WORDS_BETWEEN = 3
STEP_S = 60.0

log = logging.getLogger(__name__)


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
