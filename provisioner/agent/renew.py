"""Renew: a new release beside the running one, tried, proved, and only then the machine's own.

`renew` is carried out by two systems: the old one brings the release, offers it to the loader
and leaves; the new one configures itself, looks whether all is well, and tells the loader. What
they know of each other is the journal on the state partition, written before each step, so a
machine that loses its power goes on where it was. Whatever goes wrong, the loader returns to the
old system without anybody's help (`release/grubcfg.py`), and the old system says why.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from pydantic import ValidationError

from provisioner.agent import bootstate, layout, side
from provisioner.agent.carry_over import carry_over, erase_homes
from provisioner.agent.journey import Journey
from provisioner.agent.memory import write_whole
from provisioner.agent.personalise import upper_folder
from provisioner.errors import (
    NewSystemSilentError,
    ProofMissingError,
    ProvisionerError,
    RenewalInterruptedError,
    WrongStateError,
)
from provisioner.model.order import RenewWork
from provisioner.model.release import MANIFEST
from provisioner.model.renewal import (
    Check,
    HomesRule,
    Journal,
    Phase,
    Reason,
    RenewEvidence,
)
from provisioner.model.side import SideEvidence
from provisioner.model.signed import MAX_ENVELOPE_BYTES
from provisioner.release.grubcfg import grub_entry
from provisioner.swarm.fetch import HttpCarrier

log = logging.getLogger(__name__)

STEPS = (("manifest", 1.0), ("fetch", 60.0), ("check", 12.0), ("trial", 2.0),
         ("configure", 20.0), ("promises", 5.0))  # fmt: skip
JOURNAL = "agent/renewal.json"  # on the state partition
GUARD = "agent/guard.txt"  # what the initramfs' guard wrote before it started the machine again
RESERVE = "agent/room"  # given up so that a system that fills the disk can still say so
MARK = "proved"  # in /run/classroom: tells the guard that all is well


class Disk(Protocol):
    """What a renewal needs of `agent.installed.Installed`."""

    @property
    def running(self) -> str: ...
    @property
    def state(self) -> Path: ...
    def writable(self) -> AbstractContextManager[Mapping[str, Path]]: ...
    def loader(self) -> AbstractContextManager[Path]: ...


@dataclass(frozen=True)
class Applied:
    """What configuring came to: the revision that now holds; empty where there is none."""

    revision: str = ""


class Leave(Protocol):
    """Ends this start: by itself, or whenever somebody switches the machine off."""

    def __call__(self, *, at_once: bool = True) -> NoReturn: ...


@dataclass(frozen=True)
class Hands:
    """What a renewal does besides writing: each may take long, and is another in a test."""

    fill: Callable[[bytes, str, Mapping[str, Path], Journey], SideEvidence]
    manifest: Callable[[RenewWork], bytes]
    wait: Callable[[RenewWork], bool]  # whether to start again at once
    configure: Callable[[RenewWork], Applied]
    look: Callable[[RenewWork, Applied], tuple[Check, ...]]
    leave: Leave
    uuids: tuple[str, str] = ("", "")  # of system and state, for the entry
    run_folder: Path = Path("/run/classroom")


def read_journal(state: Path) -> Journal | None:
    """The renewal that this machine is in the middle of, if any."""
    try:
        return Journal.model_validate_json((state / JOURNAL).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError, ValueError) as error:
        log.warning("The journal of a renewal cannot be read and is put aside: %s", error)
        return None


def forget_journal(state: Path) -> None:
    """The station has the record: nothing is to be gone on with."""
    (state / JOURNAL).unlink(missing_ok=True)
    (state / GUARD).unlink(missing_ok=True)
    (state / RESERVE).unlink(missing_ok=True)


def renew(
    sealed: str, work: RenewWork, disk: Disk, hands: Hands, journey: Journey
) -> RenewEvidence:
    """Go on with a renewal where it is, or begin one. Raises why it came to nothing.

    Does not return while the machine has to start again (`hands.leave`).
    """
    journal = read_journal(disk.state)
    if journal is None or journal.order != sealed:
        if disk.running == work.release:
            raise WrongStateError(f"{work.release} runs here already.", "Nothing was done.")
        journal = Journal(order=sealed, phase=Phase.FILLING, old=disk.running, new=work.release)
    task = _Renewal(work, disk, hands, journey, journal)
    return task.go_on()


class _Renewal:
    def __init__(
        self, work: RenewWork, disk: Disk, hands: Hands, journey: Journey, journal: Journal
    ) -> None:
        self._work, self._disk, self._hands, self._journey = work, disk, hands, journey
        self._journal = journal

    def go_on(self) -> RenewEvidence:
        phase, here = self._journal.phase, self._disk.running
        if phase is Phase.FAILED:
            self._back()
        if phase is Phase.TRIAL and here == self._journal.new:
            return self._prove()
        if phase is Phase.TRIAL and self._was_offered():
            self._lost()
        if phase is Phase.GOOD:
            return self._evidence()
        if phase is Phase.FILLING:
            self._bring()
        return self._begin_trial()

    def _was_offered(self) -> bool:
        """Whether the loader was told at all before the power failed."""
        with self._disk.loader() as esp:
            return bootstate.read_state(esp).trial == self._journal.new

    def _note(self, **changes: object) -> None:
        """What is known from now on, also after a power cut."""
        self._journal = self._journal.model_copy(update=changes)
        text = self._journal.model_dump_json()
        try:
            write_whole(self._disk.state / JOURNAL, text)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            (self._disk.state / RESERVE).unlink(missing_ok=True)
            write_whole(self._disk.state / JOURNAL, text)

    def _bring(self) -> None:
        self._note(phase=Phase.FILLING)
        (self._disk.state / RESERVE).write_bytes(b"room" * 65536)
        self._journey.enter("manifest")
        envelope = self._hands.manifest(self._work)
        with self._disk.writable() as roots:
            bootstate.withdraw(roots[layout.ESP], self._work.release)
            for old in superfluous(roots, {self._disk.running, self._work.release}):
                bootstate.withdraw(roots[layout.ESP], old)
                side.forget(roots, old)
                own = (self._disk.state / upper_folder(old)).parent
                shutil.rmtree(own, ignore_errors=True)
            proved = self._hands.fill(envelope, self._work.release, roots, self._journey)
        self._note(phase=Phase.READY, side=proved)

    def _begin_trial(self) -> NoReturn:
        at_once = self._hands.wait(self._work)
        self._journey.enter("trial")
        carry_over(self._disk.state, self._journal.old, self._work.release)
        (self._disk.state / GUARD).unlink(missing_ok=True)
        system, state = self._hands.uuids
        entry = grub_entry(
            self._work.release, system_uuid=system, state_uuid=state,
            kernel_arguments=self._work.kernel_arguments,
        )  # fmt: skip
        self._note(phase=Phase.TRIAL, heard=False)
        with self._disk.loader() as esp:
            bootstate.offer(esp, self._work.release, entry)
            bootstate.try_next(esp, self._work.release)
        self._hands.leave(at_once=at_once)

    def _prove(self) -> RenewEvidence:
        """In the new system: configure, look, and only then tell the loader."""
        self._note(heard=True)
        try:
            self._journey.enter("configure")
            applied = self._hands.configure(self._work)
            self._journey.enter("promises")
            checks = self._hands.look(self._work, applied)
            if failed := [check for check in checks if not check.passed]:
                raise ProofMissingError(
                    f"On {self._work.release}: "
                    + "; ".join(f"{check.id} ({check.value})" for check in failed)[:3000],
                    "The old system goes on; mend the release or the school's configuration.",
                )
        except Exception as error:
            self._give_up(error)
        self._note(configuration=applied.revision, checks=checks)
        with self._disk.loader() as esp:
            bootstate.mark_good(esp, self._work.release)
        (self._hands.run_folder / MARK).touch()
        self._note(phase=Phase.GOOD, homes_erased=self._homes())
        return self._evidence()

    def _homes(self) -> int:
        """Only now, when nothing leads back: what pupils saved is erased if the order says so."""
        if self._work.homes is HomesRule.KEEP:
            return 0
        return erase_homes(self._disk.state)

    def _evidence(self) -> RenewEvidence:
        assert self._journal.side is not None
        with self._disk.loader() as esp:
            starts_next = bootstate.read_state(esp)
        return RenewEvidence(
            old=self._journal.old,
            side=self._journal.side,
            running=self._disk.running,
            starts_next=starts_next.trial if starts_next.left else starts_next.good,
            configuration=self._journal.configuration,
            checks=self._journal.checks,
            homes=self._work.homes,
            homes_erased=self._journal.homes_erased,
            manifest_sha256=self._journal.side.manifest_sha256,
        )

    def _give_up(self, error: Exception) -> NoReturn:
        """Say why, let the loader return, and start again."""
        log.exception("%s is not kept", self._work.release)
        self._note(phase=Phase.FAILED, reason=reason_of(error))
        with self._disk.loader() as esp:
            bootstate.end_trial(esp)
        self._hands.leave()

    def _lost(self) -> NoReturn:
        """Back in the old system, and the new one has not said why."""
        self._sweep()
        guard = _read(self._disk.state / GUARD)
        if guard:
            reason = Reason(
                kind="NewSystemSilentError", message=f"{self._work.release}: {guard}",
                hint="The old system goes on; mend the release.",
            )  # fmt: skip
        elif self._journal.heard:
            reason = Reason(
                kind="interrupted",
                message=f"{self._work.release} was switched off before it was proved.",
                hint="It is tried again by itself.",
            )
        else:
            reason = Reason(
                kind="NewSystemSilentError",
                message=f"{self._work.release} was started and its agent never came up.",
                hint="The old system goes on; mend the release.",
            )
        self._note(phase=Phase.FAILED, reason=reason)
        self._back()

    def _sweep(self) -> None:
        """In the old system: what the new one left behind, which may be all of the disk."""
        own = (self._disk.state / upper_folder(self._journal.new)).parent
        shutil.rmtree(own, ignore_errors=True)
        (self._disk.state / RESERVE).unlink(missing_ok=True)

    def _back(self) -> NoReturn:
        """In the old system: nothing tries the new one any more, and the reason goes home."""
        with self._disk.loader() as esp:
            bootstate.end_trial(esp)
            if self._disk.running != self._journal.new:
                bootstate.withdraw(esp, self._journal.new)
        if self._disk.running == self._journal.new:
            self._hands.leave()
        self._sweep()
        reason = self._journal.reason or Reason(kind="interrupted", message="No reason is known.")
        if reason.kind == "interrupted":
            raise RenewalInterruptedError(reason.message, reason.hint)
        if reason.kind == "NewSystemSilentError":
            raise NewSystemSilentError(reason.message, reason.hint)
        raise ProofMissingError(reason.message, reason.hint)


def superfluous(roots: Mapping[str, Path], keep: set[str]) -> list[str]:
    """Releases that must make room: all but those to keep and the one that is good."""
    kept = keep | {bootstate.read_state(roots[layout.ESP]).good}
    releases = roots[layout.SYSTEM] / side.RELEASES
    return sorted(path.name for path in releases.iterdir() if path.name not in kept)


def fetched_manifest(http: HttpCarrier, work: RenewWork) -> bytes:
    """The signed manifest as the order names it. Raises WrongStateError for another one."""
    envelope = http.read(MANIFEST, MAX_ENVELOPE_BYTES)
    if hashlib.sha256(envelope).hexdigest() != work.manifest_sha256:
        raise WrongStateError(
            f"The station serves another manifest of {work.release} than it ordered.",
            "Was the release built anew? Order the renewal again.",
        )
    return envelope


def reason_of(error: Exception) -> Reason:
    """Any error as a reason that the old system can send home."""
    if isinstance(error, ProvisionerError):
        return Reason(
            kind=type(error).__name__, message=error.message[:4000], hint=error.hint[:4000]
        )
    return Reason(kind=type(error).__name__[:200], message=str(error)[:4000] or "Unknown.")


def _read(path: Path) -> str:
    try:
        return " ".join(path.read_text("utf-8", "replace").split())[:500]
    except OSError:
        return ""
