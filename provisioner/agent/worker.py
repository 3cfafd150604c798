"""Carrying out one order in a thread of its own, and what comes of it: a record.

The main thread keeps talking to the station meanwhile. Whatever goes wrong becomes the
record's problem; evidence is only what a verb's module measured.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable, Sequence

from provisioner.agent import diagnose, errands, image, renew, wipe
from provisioner.agent.field import renew_here
from provisioner.agent.journey import Journey, Standing
from provisioner.agent.surroundings import Home
from provisioner.agent.text import clean
from provisioner.agent.words import step
from provisioner.errors import DiskFaultError, ProvisionerError, UnreachableError
from provisioner.model.errand import LogsWork, ReconfigureWork, ResetHomesWork
from provisioner.model.order import (
    DiagnoseWork,
    ImageWork,
    Order,
    RenewWork,
    RestartWork,
    WipeWork,
)
from provisioner.model.record import MachineEvidence, Problem, Record, RestartEvidence
from provisioner.model.wire import Progress
from provisioner.swarm.fetch import SocketOption, Waiting

log = logging.getLogger(__name__)

Tell = Callable[[Standing], None]
Doing = Callable[[Order, Tell], MachineEvidence]
# A medium that refuses or loses what it is given, as the kernel reports it.
FAULTS = frozenset({errno.EIO, errno.EREMOTEIO, errno.ENXIO, errno.ENODEV, errno.EROFS})


def carry_out(
    order: Order,
    tell: Tell,
    home: Home,
    waiting: Waiting,
    options: Sequence[SocketOption] = (),
    stick: Callable[[], str] = lambda: "",
) -> MachineEvidence:
    """Do what `order` says; returns what was measured and read back."""
    match order.work:
        case DiagnoseWork() as work:
            return diagnose.diagnose(work, Journey(diagnose.STEPS, tell))
        case WipeWork() as work:
            return wipe.wipe(work, Journey(wipe.steps(work), tell))
        case ImageWork() as work:
            journey = Journey(image.STEPS, tell)
            return image.image(order, work, home, journey, waiting, options)
        case RenewWork() as work:
            journey = Journey(renew.STEPS, tell)
            return renew_here(order, work, home, journey, waiting, options, stick)
        case ReconfigureWork() | ResetHomesWork() | LogsWork() as work:
            journey = Journey(errands.STEPS[work.verb], tell)
            return errands.errand(work, home.line.url, home, journey, waiting, options)
        case RestartWork():
            return RestartEvidence()


class Worker:
    """At most one order at a time; `standing` and `take_record` are for the other threads."""

    def __init__(self, doing: Doing) -> None:
        self._doing = doing
        self._lock = threading.Lock()
        self._order: Order | None = None
        self._standing = Standing()
        self._record: Record | None = None

    def start(self, order: Order) -> None:
        """Begin with `order`; the worker must be idle."""
        with self._lock:
            assert self._order is None
            self._order, self._standing, self._record = order, Standing(), None
        threading.Thread(target=self._work, args=(order,), name=order.id, daemon=True).start()

    @property
    def order(self) -> Order | None:
        """The order in hand, until its record is taken."""
        with self._lock:
            return self._order

    @property
    def standing(self) -> Standing:
        with self._lock:
            return self._standing

    def progress(self) -> Progress | None:
        """What the station is told while the work goes on."""
        with self._lock:
            if self._order is None:
                return None
            now = self._standing
            return Progress(
                order=self._order.id,
                step=step(now.step).en,
                fraction=now.fraction,
                bytes_per_second=now.rate,
            )

    def take_record(self) -> Record | None:
        """The record, once, when the work has ended; the worker is idle afterwards."""
        with self._lock:
            record, self._record = self._record, None
            if record:
                self._order = None
            return record

    def _tell(self, standing: Standing) -> None:
        with self._lock:
            self._standing = standing

    def _work(self, order: Order) -> None:
        record = make_record(order, lambda: self._doing(order, self._tell))
        with self._lock:
            self._record = record


def make_record(order: Order, doing: Callable[[], MachineEvidence]) -> Record:
    """Run `doing` and make a record of whatever comes of it."""
    began = time.monotonic()
    try:
        evidence, problem = doing(), None
    except Exception as error:
        log.exception("Order %s (%s) failed", order.id, order.work.verb)
        evidence, problem = None, explain(error)
    return Record(
        order=order.id, evidence=evidence, problem=problem, seconds=time.monotonic() - began
    )


def explain(error: Exception) -> Problem:
    """Any error as a problem: its kind, what is the matter, what to do."""
    if isinstance(error, OSError) and error.errno in FAULTS:
        error = DiskFaultError(
            f"The disk does not obey: {error.strerror} ({clean(str(error.filename or ''))}).",
            "Check its cable; if it happens again, replace the disk.",
        )
    if isinstance(error, ProvisionerError):
        # The station knows the kinds of errors.py; how exactly a line broke is in the message.
        kind = UnreachableError if isinstance(error, UnreachableError) else type(error)
        return Problem(kind=kind.__name__, message=error.message[:4000], hint=error.hint[:4000])
    return Problem(
        kind=clean(type(error).__name__),
        message=f"{error}"[:4000] or "An unexpected error.",
        hint="Restart this machine; if it happens again, report it with this text.",
    )
