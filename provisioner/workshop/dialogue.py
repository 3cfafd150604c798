"""The dialogue with machines: register, poll, record.

Everything a machine says is untrusted until its signature is checked, and stays untrusted text
afterwards. Each request is one transaction; its answer is sealed for that machine and that
request only.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from provisioner.errors import NotFoundError, UntrustedError
from provisioner.lifecycle import Milestone
from provisioner.model.signed import open_envelope
from provisioner.model.wire import (
    PollRequest,
    RecordRequest,
    RegisterRequest,
    Reply,
    Request,
    Surroundings,
)
from provisioner.store.events import note
from provisioner.store.tables import MachineKeyRow, MachineRow, RunRow, now
from provisioner.workshop import field_orders, path, recognition, runs
from provisioner.workshop.enrolment import enrol
from provisioner.workshop.screens import screen_for
from provisioner.workshop.station import Station

POLL_IDLE_S = 2.0
POLL_INSTALLED_S = 5.0

# "Last seen" is accurate to this; more would only wear out the station's disk.
NOTE_EVERY = timedelta(seconds=10)


class Dialogue:
    """Answers machines. Every method takes the sealed request and returns the sealed reply.

    Raises UntrustedError for what is not signed, not known or played again, NotFoundError when
    the machine must register first.
    """

    def __init__(self, station: Station) -> None:
        self._station = station
        self._lock = threading.Lock()
        self._counters: dict[str, int] = {}

    def register(self, body: bytes, address: str) -> str:
        request, key = open_envelope(body, RegisterRequest, trusted=None)
        with self._station.database.transaction() as session:
            row = session.get(MachineKeyRow, key)
            if row is None:
                machine = self._recognise(session, request, key)
                row = MachineKeyRow(
                    key=key,
                    machine_id=machine.id,
                    surroundings=request.boot.surroundings,
                    counter=request.counter,
                )
                session.add(row)
                self._retire_other_keys(session, machine, row)
            else:
                machine = session.get_one(MachineRow, row.machine_id)
                self._accept(row, request)
                self._heard(row, machine, request)
            self._update(session, machine, request, address)
            reply = self._reply(machine, key, request)
        self._station.board.touch()
        return reply

    def poll(self, body: bytes, address: str) -> str:
        """The question that comes each second from each machine; most write nothing."""
        request, key = open_envelope(body, PollRequest, trusted=None)
        with self._station.database.reading() as session:
            row, machine = self._known(session, key)
            self._accept(row, request)
            if request.progress is not None:
                self._show(session, machine, request)
            idle = request.progress is None and self._may_ask(session, row, machine)
            quiet = not idle and request.health is None
            if quiet and now() - machine.last_seen < NOTE_EVERY:
                return self._reply(machine, key, request)
        with self._station.database.transaction() as session:
            row, machine = self._known(session, key)
            if now() - machine.last_seen >= NOTE_EVERY:
                machine.last_seen = now()
            if request.health is not None:
                field_orders.hear(session, machine, request.health)
            order = self._next_order(session, machine, row) if idle else None
            return self._reply(machine, key, request, order)

    @staticmethod
    def _may_ask(session: Session, row: MachineKeyRow, machine: MachineRow) -> bool:
        live = row.surroundings == Surroundings.LIVE
        return live or field_orders.has_waiting(session, machine)

    def _next_order(self, session: Session, machine: MachineRow, row: MachineKeyRow) -> str | None:
        before = machine.milestone, machine.needs_hand
        live = row.surroundings == Surroundings.LIVE
        give = path.next_order if live else field_orders.next_order
        order = give(self._station, session, machine, row.key)
        if order or before != (machine.milestone, machine.needs_hand):
            self._station.board.touch()
        return order

    def record(self, body: bytes, address: str) -> str:
        request, key = open_envelope(body, RecordRequest, trusted=None)

        with self._station.database.transaction() as session:
            row, machine = self._known(session, key)
            self._accept(row, request)
            self._heard(row, machine, request)
            run = session.scalar(select(RunRow).where(RunRow.order_id == request.record.order))
            if run is None or run.machine_id != machine.id or run.order_key != key:
                note(session, "record-refused", machine=machine, order=request.record.order)
            elif run.ended_at is None:  # a record sent again after a lost answer changes nothing
                path.judge_record(self._station, session, machine, run, request.record)
                field_orders.closed(session, machine, run)
            reply = self._reply(machine, key, request)
        self._station.board.clear(machine.id)
        return reply

    def _known(self, session: Session, key: str) -> tuple[MachineKeyRow, MachineRow]:
        row = session.get(MachineKeyRow, key)
        if row is None:
            raise NotFoundError("This machine is not registered.", "It registers by itself.")
        return row, session.get_one(MachineRow, row.machine_id)

    def _accept(self, row: MachineKeyRow, request: Request) -> None:
        """Refuse a request that was played again, or whose key has been replaced.

        Counters of polls are remembered in memory only. After a restart of the station an old
        poll could be played once more: its answer is sealed for the machine that asked, and an
        order in it is the one that is open anyway.
        """
        if row.retired:
            raise UntrustedError(
                "Another start of this machine has taken this key's place.",
                "If the machine was not restarted, somebody is imitating it.",
            )
        with self._lock:
            if request.counter <= max(row.counter, self._counters.get(row.key, 0)):
                raise UntrustedError("This request was used before.")
            self._counters[row.key] = request.counter

    @staticmethod
    def _heard(row: MachineKeyRow, machine: MachineRow, request: Request) -> None:
        row.counter, machine.last_seen = request.counter, now()

    def _recognise(self, session: Session, request: RegisterRequest, key: str) -> MachineRow:
        if request.boot.surroundings is Surroundings.INSTALLED:
            machine = session.scalar(select(MachineRow).where(MachineRow.installed_key == key))
            if machine is None:
                raise UntrustedError("No machine was imaged with this key.")
            return machine
        return recognition.recognise(session, request)

    def _retire_other_keys(self, session: Session, machine: MachineRow, row: MachineKeyRow) -> None:
        """A machine runs one system at a time: its earlier keys and their orders are void."""
        session.execute(
            update(MachineKeyRow)
            .where(
                MachineKeyRow.machine_id == machine.id,
                MachineKeyRow.key != row.key,
                MachineKeyRow.surroundings == Surroundings.LIVE,
            )
            .values(retired=True)
        )
        for run in runs.open_runs(session, machine):
            if run.verb == runs.RESTART:
                runs.succeed(session, machine, run, None)
            elif run.order_key is not None and run.order_key != row.key:
                runs.interrupt(session, machine, run, "The machine started again.")
        self._station.board.clear(machine.id)

    def _update(
        self, session: Session, machine: MachineRow, request: RegisterRequest, address: str
    ) -> None:
        boot = request.boot
        machine.last_seen, machine.address = now(), address
        machine.boot = boot.model_dump(mode="json")
        if boot.surroundings is Surroundings.INSTALLED:
            machine.live_starts = 0
        else:
            recognition.note_changes(session, machine, request.hardware)
            machine.hardware = request.hardware.model_dump(mode="json")
            if Milestone(machine.milestone).rank >= Milestone.IMAGED.rank:
                machine.live_starts += 1
            recognition.remember_macs(session, machine, request.hardware)
        note(
            session, "registered",
            machine=machine, address=address, surroundings=boot.surroundings, release=boot.release,
        )  # fmt: skip
        if machine.milestone == Milestone.DISCOVERED:
            enrol(self._station, session, machine)

    def _show(self, session: Session, machine: MachineRow, request: PollRequest) -> None:
        progress = request.progress
        assert progress is not None
        run = session.scalar(select(RunRow).where(RunRow.order_id == progress.order))
        if run is not None and run.machine_id == machine.id and run.ended_at is None:
            self._station.board.show(
                machine.id, progress.step, progress.fraction, progress.bytes_per_second
            )

    def _reply(
        self, machine: MachineRow, key: str, request: Request, order: str | None = None
    ) -> str:
        installed = machine.boot.get("surroundings") == Surroundings.INSTALLED
        return self._station.key.seal(
            Reply(
                to_key=key,
                counter=request.counter,
                asset_tag=machine.asset_tag or "",
                language=self._station.settings.language,
                screen=screen_for(machine),
                order=order,
                station_time=time.time(),
                poll_seconds=self._pause(machine) if installed else POLL_IDLE_S,
            )
        )

    def _pause(self, machine: MachineRow) -> float:
        in_school = Milestone(machine.milestone).rank >= Milestone.HANDED_OVER.rank
        return self._station.settings.field_poll_s if in_school else POLL_INSTALLED_S
