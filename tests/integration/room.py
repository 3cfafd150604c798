"""One machine of one example school in namespaces, and what the station knows about both."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioner.checks.catalog import expected_checks
from provisioner.checks.promises import Promises, promises_for
from provisioner.errors import CommandError
from provisioner.fleet.inventory import StationFacts
from provisioner.fleet.school import load_school
from provisioner.fleet.vault import Vault, open_vault, update_vault, vault_of
from provisioner.model.school import School, SeatedMachine
from provisioner.settings import load_settings
from provisioner.stages.ansible import Report
from provisioner.stages.configure import (
    ConfigureEvidence,
    Workplace,
    configure_machine,
    judge_configure,
    revision,
)
from provisioner.stages.verify import Outcome, VerifyEvidence, judge_verify, verify_machine
from tests.integration.classroom_target import Target, booted, system_squashfs

ROOT = Path(__file__).parents[2]
PLAYBOOKS = ROOT / "playbooks"
TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Room:
    """One machine of one school, and what the station knows about both."""

    school: School
    vault: Vault
    target: Target
    machine: SeatedMachine
    promises: Promises

    def configure(
        self, folder: Path, *, report: Report = lambda step, fraction: None,
        cancelled: Callable[[], bool] = lambda: False, **other: Path,
    ) -> ConfigureEvidence:  # fmt: skip
        return configure_machine(
            self.school, self.machine,
            workplace=Workplace(
                PLAYBOOKS, self.target.ssh_key, StationFacts(time_servers=(self.target.station,))
            ),
            vault=self.vault,
            known_hosts=other.get("known_hosts", self.target.known_hosts),
            folder=folder, timeout_s=TIMEOUT_S, report=report, cancelled=cancelled,
        )  # fmt: skip

    def verify(self, folder: Path, **other: Path) -> VerifyEvidence:
        return verify_machine(
            self.school.id, self.machine, self.promises, ssh_key=self.target.ssh_key,
            known_hosts=other.get("known_hosts", self.target.known_hosts),
            folder=folder, timeout_s=TIMEOUT_S,
        )  # fmt: skip

    def judge_configure(self, evidence: ConfigureEvidence) -> list[str]:
        expected = revision(self.school, self.vault, PLAYBOOKS)
        return judge_configure(evidence, school=self.school.id, revision=expected)

    def judge_verify(self, evidence: VerifyEvidence) -> list[str]:
        return judge_verify(evidence, expected_checks(self.promises))

    def expected(self) -> set[str]:
        """Ids of the checks that this machine is held to."""
        return {check.id for check in expected_checks(self.promises)}

    def edited(self, changes: Mapping[str, str]) -> Room:
        """The same machine after school.yml was changed: old text to new."""
        path = self.school.folder / "school.yml"
        text = path.read_text(encoding="utf-8")
        for old, new in changes.items():
            assert old in text, old
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
        return seated(self.school.folder, self.target, self.machine.seat, self.vault)


def failed(evidence: VerifyEvidence) -> set[str]:
    """Ids of the checks that did not pass."""
    return {check.id for check in evidence.checks if check.outcome is not Outcome.PASSED}


def seated(folder: Path, target: Target, seat: int, vault: Vault) -> Room:
    """What the station knows when the school's folder is read anew."""
    school = load_school(folder)
    return Room(
        school, vault, target,
        SeatedMachine.model_validate({"asset_tag": "PC-0001", "seat": seat,
                                      "address": target.address}),
        promises_for(school, seat, release=target.release, ssh_host_keys=(target.host_key,),
                     station_time_servers=(target.station,)),
    )  # fmt: skip


@dataclass
class Bench:
    """A machine on the bench: it can be started again, and its disk be read as a whole."""

    example: str
    folder: Path
    seat: int = 2
    state: Path | None = None
    wifi_password: str = "the school's wireless"

    def __post_init__(self) -> None:
        self._running, self._is_on = contextlib.ExitStack(), False
        copied = shutil.copytree(ROOT / "inventories" / self.example, self.folder / self.example)
        school, state = load_school(Path(copied)), self.state or self.folder
        if school.settings.network.wifi:
            update_vault(vault_of(school, state), {"wifi_password": self.wifi_password})
        self.vault = open_vault(school, state)
        self.disk = self.folder / "disk"
        self.disk.mkdir()

    def start(self) -> Room:
        """Switch it on, the first time as imaging leaves it."""
        squashfs = system_squashfs(load_settings().cache_dir)
        target = self._running.enter_context(booted(squashfs, self.disk))
        self.room = seated(self.folder / self.example, target, self.seat, self.vault)
        self._is_on = True
        return self.room

    def stop(self) -> None:
        """Take the power away, after what was written has reached the disk."""
        if self._is_on:
            self._is_on = False
            with contextlib.suppress(CommandError):
                self.room.target.shell("sync")
        self._running.close()


@contextlib.contextmanager
def opened(example: str, folder: Path, seat: int = 2) -> Iterator[Room]:
    """A machine of one of the example schools, as imaging leaves it."""
    bench = Bench(example, folder, seat)
    room = bench.start()
    try:
        yield room
    finally:
        bench.stop()
