"""The agent's loop: register, ask, work, report; for ever.

Everything may be missing for a while (network, station, screen) and comes back by itself. The
station is asked each second while there is work; the work itself runs in the worker's thread.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from provisioner import plain_log
from provisioner.agent import field, restart
from provisioner.agent.checkin import Doctor, Rhythm, mend_clock
from provisioner.agent.client import RefusedError, StationClient
from provisioner.agent.contest import STATE_FILE, Contests
from provisioner.agent.contest_hands import ContestHands, not_for_long, wish_in
from provisioner.agent.hardware import read_hardware
from provisioner.agent.installed import CLASSROOM, STATE
from provisioner.agent.journey import Standing
from provisioner.agent.memory import Counter, UsedOrders
from provisioner.agent.mounting import release_leftovers
from provisioner.agent.nic import bind_to, read_nics
from provisioner.agent.orders import accept, claimed_id
from provisioner.agent.partition import settle
from provisioner.agent.quiet import WISHES
from provisioner.agent.room_stick import Room
from provisioner.agent.scene import Scene
from provisioner.agent.side import Station
from provisioner.agent.site_keep import Keeper
from provisioner.agent.stick import Sticks
from provisioner.agent.surroundings import Home, find_home, read_boot
from provisioner.agent.worker import Worker, carry_out, explain
from provisioner.clock import read_clock
from provisioner.errors import ProvisionerError, UnreachableError
from provisioner.model.hardware import Hardware
from provisioner.model.order import Order, RestartWork
from provisioner.model.record import Record
from provisioner.model.wire import BootFacts, Reply, Surroundings
from provisioner.swarm.line import SocketOption, plain

log = logging.getLogger(__name__)

WORKING_S = 0.5  # from one question to the next while there is work
BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 5.0)
RECORD_TRIES = 3  # how often a record is offered that the station refuses


class Agent:
    """One machine's conversation with its station. `scene` is what its screen shows."""

    def __init__(
        self,
        home: Home,
        client: StationClient,
        worker: Worker,
        used: UsedOrders,
        facts: Callable[[], tuple[Hardware, BootFacts]],
        leave: Callable[[RestartWork], None] = restart.leave,
        settled: Callable[[Order], None] = lambda _order: None,
        doctor: Doctor | None = None,
        contests: Contests | None = None,
    ) -> None:
        self._home, self._client, self._worker, self._used = home, client, worker, used
        self._facts, self._leave, self._settled = facts, leave, settled
        self._doctor, self._rhythm, self.contests = doctor, Rhythm(), contests
        self._registered = False
        self._outbox: deque[Record] = deque()
        self._offers: deque[Order] = deque()
        self._ended: set[str] = set()
        self._wake = threading.Event()
        self.kept: Callable[[Order, Record], None] = lambda _order, _record: None
        self._refusals = 0
        self._failures = 0
        self._poll_seconds = 1.0
        self._last_order: Order | None = None
        self.scene = Scene(asset_tag=home.asset_tag, boot_mac=home.boot_mac)

    @property
    def standing(self) -> Standing:
        """Where the work is, for the screen."""
        return self._worker.standing

    def offer(self, order: Order) -> bool:
        """An order from a stick, by another thread; whether it is taken up."""
        if self._worker.order or self._offers or order.id in self._ended:
            return False
        self._offers.append(order)
        self._wake.set()
        return True

    def go_on(self, order: Order) -> None:
        """Take up again what this machine was at when it was switched off."""
        log.info("Order %s: %s goes on", order.id, order.work.verb)
        self._last_order = order
        self._worker.start(order)

    def run(self) -> None:
        """Never returns."""
        while True:
            began = time.monotonic()
            pause = self.turn()
            self._wake.wait(max(0.0, began + pause - time.monotonic()))
            self._wake.clear()
            if self._offers and not self._worker.order:
                self.go_on(self._offers.popleft())

    def turn(self) -> float:
        """One exchange with the station; returns seconds from its begin to the next."""
        self._collect()
        try:
            reply = self._exchange()
        except RefusedError as error:
            return self._refused(error)
        except ProvisionerError as error:
            return self._failed(error)
        self._failures = 0
        self._take_in(reply)
        if self.contests:
            self.contests.speak(self._client)
        if self._home.kind is Surroundings.INSTALLED:
            return self._rhythm.after_answer(WORKING_S if self._outbox else self._poll_seconds)
        return WORKING_S if self._busy else self._poll_seconds

    @property
    def _busy(self) -> bool:
        return self._worker.order is not None or bool(self._outbox)

    def _exchange(self) -> Reply:
        """Say what is due: who we are, what came out, or how far the work is."""
        if not self._registered:
            hardware, boot = self._facts()
            reply = self._client.register(hardware, boot)
            self._registered = True
            log.info("Registered at %s as %s", plain(self._home.line.url), reply.asset_tag or "new")
            return reply
        if self._outbox:
            reply = self._client.record(self._outbox[0])
            self._refusals = 0
            self._delivered(self._outbox.popleft())
            return reply
        health = self._doctor.report() if self._doctor else None
        return self._client.poll(self._worker.progress(), health)

    def _take_in(self, reply: Reply) -> None:
        self._poll_seconds = reply.poll_seconds
        if self._doctor:
            off = mend_clock(reply.station_time)
            self._doctor.clock_off_s = self._doctor.clock_off_s if off is None else off
        self.scene = self.scene.after(reply)
        if reply.order and claimed_id(reply.order) not in self._in_hand():
            self._take_up(reply.order)

    def _take_up(self, sealed: str) -> None:
        """Start an order, or refuse it with a record and in red."""
        try:
            if self._worker.order:
                return  # the station will offer it again
            order = accept(sealed, self._home, self._used)
        except ProvisionerError as error:
            log.error("Order %s refused: %s", claimed_id(sealed), error)
            self._report(Record(order=claimed_id(sealed), problem=explain(error), seconds=0.0))
            return
        log.info("Order %s: %s", order.id, order.work.verb)
        self._last_order = order
        self.scene = self.scene.working(order)
        self._worker.start(order)

    def _in_hand(self) -> set[str]:
        """Orders that the station may still be offering because it has no record yet."""
        now = self._worker.order
        return {record.order for record in self._outbox} | ({now.id} if now else set())

    def _collect(self) -> None:
        record = self._worker.take_record()
        if record:
            self._report(record)

    def _report(self, record: Record) -> None:
        self._outbox.append(record)
        self._ended.add(record.order)
        if self._last_order and self._last_order.id == record.order:
            self.kept(self._last_order, record)
        self.scene = self.scene.ended(record)
        if record.problem:
            log.error("Order %s: %s %s", record.order, record.problem.kind, record.problem.message)

    def _delivered(self, record: Record) -> None:
        log.info("Order %s: record delivered", record.order)
        order = self._last_order
        if not order or order.id != record.order:
            return
        self._settled(order)
        if not record.evidence:
            return
        if isinstance(order.work, RestartWork):
            self.scene = self.scene.working(order)
            self._leave(order.work)

    def _refused(self, error: RefusedError) -> float:
        """The station said no: introduce ourselves again; give up a record after a few times."""
        log.error("The station refused (%s): %s", error.status, error)
        if self._registered and self._outbox:
            self._refusals += 1
            if self._refusals >= RECORD_TRIES:
                self._refusals = 0
                log.error("Record of order %s dropped", self._outbox.popleft().order)
        self._registered = False
        self.scene = self.scene.troubled(explain(error))
        return self._back_off()

    def _failed(self, error: ProvisionerError) -> float:
        if self._failures in (0, 10):
            log.warning("%s", error)
        if isinstance(error, UnreachableError):
            self.scene = self.scene.silent()
        else:
            self.scene = self.scene.troubled(explain(error))
        return self._back_off()

    def _back_off(self) -> float:
        if self._home.kind is Surroundings.INSTALLED:
            return self._rhythm.after_silence()
        self._failures += 1
        return BACK_OFF_S[min(self._failures, len(BACK_OFF_S)) - 1]


def build(home: Home, root: Path = Path("/"), stick: Callable[[], str] = lambda: "") -> Agent:
    """The agent of this machine, with everything it works with."""
    memory = home.memory
    hardware = read_hardware(root)
    counter = Counter(memory / "counter" if memory else None)
    options = bind_to(hardware.nics, home.boot_mac)

    def waiting(error: UnreachableError, pause_s: float) -> None:
        log.warning("%s", error)
        time.sleep(pause_s)

    return Agent(
        home,
        StationClient(home, counter, options),
        Worker(lambda order, tell: carry_out(order, tell, home, waiting, options, stick)),
        UsedOrders(memory / "orders" if memory else None),
        lambda: (read_hardware(root), read_boot(home, root)),
        settled=field.settled,
        doctor=Doctor(home.release, root) if home.kind is Surroundings.INSTALLED else None,
        contests=_contests(home, options) if memory else None,
    )


def _contests(home: Home, options: Sequence[SocketOption]) -> Contests:
    def station() -> Station:
        return Station(home.line.url, home.station_key, not_for_long, options)

    assert home.memory is not None
    return Contests(home.memory / STATE_FILE, ContestHands(station), read_clock,
                    wish_in(CLASSROOM / WISHES))  # fmt: skip


def main() -> int:
    """Run until the machine is switched off; returns only when it was started in a wrong way."""
    plain_log.install(logging.INFO)
    settle()
    try:
        home = find_home()
        sticks: list[Sticks] = []
        agent = build(home, stick=lambda: sticks[0].url if sticks else "")
    except ProvisionerError as error:
        log.error("%s", error)
        _show_once(Scene().troubled(explain(error)))
        time.sleep(30)
        return 1
    if home.kind is Surroundings.LIVE:
        release_leftovers()  # of an agent that was killed in this same system
        _start_screen(agent)
    else:
        _start_cache(home)
        if agent.contests:
            threading.Thread(target=agent.contests.run, name="contests", daemon=True).start()
        _start_keeper(home)
        field.show_loader()
        sticks.append(_start_sticks(home, agent))
        order = field.unfinished()
        if order is not None:
            agent.go_on(order)
    agent.run()
    return 0


# Only the live environment has a screen of its own, and what it takes to draw on it (Pillow, a
# Chinese font); an installed system belongs to its users, so the module is not even imported.
def _start_screen(agent: Agent) -> None:
    from provisioner.agent.screen import Shower

    show = Shower(lambda: (agent.scene, agent.standing))
    threading.Thread(target=show.run, name="screen", daemon=True).start()


# The live environment has no release to give.
def _start_cache(home: Home) -> None:
    from provisioner.agent.cache import Cache

    cache = Cache(home, options=bind_to(read_nics(), home.boot_mac))
    threading.Thread(target=cache.run, name="cache", daemon=True).start()


def _start_keeper(home: Home) -> None:
    keeper = Keeper(home, STATE, bind_to(read_nics(), home.boot_mac))
    threading.Thread(target=keeper.run, name="site", daemon=True).start()


def _start_sticks(home: Home, agent: Agent) -> Sticks:
    assert home.memory is not None
    room = Room(home, bind_to(read_nics(), home.boot_mac))
    sticks = Sticks(home, agent.offer, home.memory, CLASSROOM, room=room)
    agent.kept = sticks.keep
    threading.Thread(target=sticks.run, name="sticks", daemon=True).start()
    return sticks


def _show_once(scene: Scene) -> None:
    with contextlib.suppress(ImportError):
        from provisioner.agent.screen import show_once

        show_once(scene)
