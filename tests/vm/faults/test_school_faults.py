"""Configuring and verifying: with tools that lie, and a machine whose link or power is lost.

The short form has no machine at all, so any success is a false one. The whole form has a real
trixie with systemd in namespaces (tests/integration/classroom_target.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from provisioner.checks.catalog import expected_checks
from provisioner.checks.promises import Promises, promises_for
from provisioner.errors import CommandError, ProvisionerError
from provisioner.fleet.inventory import StationFacts
from provisioner.fleet.school import load_school
from provisioner.fleet.vault import Vault, open_vault
from provisioner.model.school import School, SeatedMachine
from provisioner.run import run
from provisioner.settings import load_settings
from provisioner.stages import ansible, verify
from provisioner.stages.ansible import Report, known_hosts_text
from provisioner.stages.configure import Workplace, configure_machine, judge_configure, revision
from provisioner.stages.verify import judge_verify, verify_machine
from tests.integration.classroom_target import Target, booted, system_squashfs
from tests.vm.faults.desk import CLOCKS, set_clock
from tests.vm.faults.ledger import Case, Expected, Ledger, Said
from tests.vm.faults.stubs import KINDS, of_each, stubbed

pytestmark = pytest.mark.vm
ROOT = Path(__file__).parents[3]
PLAYBOOKS = ROOT / "playbooks"
HOST_KEY = "ssh-ed25519 " + "A" * 68
TOOLS = ("setpriv", "ssh")
NO, YES = Expected.NO_SUCCESS, Expected.SUCCESS


@dataclass
class Classroom:
    """What the station knows of one machine, real or not."""

    school: School
    vault: Vault
    machine: SeatedMachine
    promises: Promises
    key: Path
    known_hosts: Path
    folder: Path
    timeout_s: float = 60.0
    attempts: int = 0

    def configure(self, report: Report = lambda step, fraction: None) -> Said:
        self.attempts += 1
        try:
            evidence = configure_machine(
                self.school, self.machine,
                workplace=Workplace(PLAYBOOKS, self.key, StationFacts(time_servers=())),
                vault=self.vault, known_hosts=self.known_hosts,
                folder=self.folder / f"configure-{self.attempts}", timeout_s=self.timeout_s,
                report=report,
            )  # fmt: skip
        except ProvisionerError as error:
            return Said(False, f"{type(error).__name__}: {error.message}")
        now = revision(self.school, self.vault, PLAYBOOKS)
        return Said.of(judge_configure(evidence, school=self.school.id, revision=now))

    def verify(self) -> Said:
        self.attempts += 1
        try:
            evidence = verify_machine(
                self.school.id, self.machine, self.promises, ssh_key=self.key,
                known_hosts=self.known_hosts, folder=self.folder / f"verify-{self.attempts}",
                timeout_s=self.timeout_s,
            )  # fmt: skip
        except ProvisionerError as error:
            return Said(False, f"{type(error).__name__}: {error.message}")
        return Said.of(judge_verify(evidence, expected_checks(self.promises)))


def made(folder: Path, target: Target | None = None) -> Classroom:
    school = load_school(ROOT / "inventories/first-room")
    address = target.address if target else "127.0.0.9"
    key, known_hosts = folder / "key", folder / "known_hosts"
    if target:
        key, known_hosts = target.ssh_key, target.known_hosts
    else:
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], timeout_s=20)
    machine = SeatedMachine.model_validate({"asset_tag": "PC-0001", "seat": 2, "address": address})
    if not target:
        known_hosts.write_text(known_hosts_text(machine, [HOST_KEY]))
    promises = promises_for(
        school, 2, release=target.release if target else "lab@2026.1",
        ssh_host_keys=(target.host_key if target else HOST_KEY,), station_time_servers=(),
    )  # fmt: skip
    return Classroom(
        school, open_vault(school, folder), machine, promises, key, known_hosts, folder,
        timeout_s=300.0 if target else 60.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> Classroom:
    """A machine that is not there."""
    return made(tmp_path_factory.mktemp("nobody"))


def booked(ledger: Ledger, fault: str, stage: str, said: Said, *, true: bool = False) -> Case:
    case = ledger.book(fault, stage, said, true=true, expected=YES if true else NO)
    assert case.as_expected, case
    return case


@pytest.mark.parametrize(("tools", "kind"), of_each(TOOLS, "exits 0"))
def test_stubs_while_configuring(
    nobody: Classroom, ledger: Ledger, tools: tuple[str, ...], kind: str
) -> None:
    """setpriv starts ansible-playbook: its stub stands for one that never ran. With ssh alone
    Ansible itself is the real one, and needs its time."""
    name = tools[0] if len(tools) == 1 else "all tools"
    nobody.timeout_s = 3.0 if kind == "hangs" or "setpriv" in tools else 60.0
    with stubbed(tools, KINDS[kind]):
        booked(ledger, f"stub, {name}: {kind}", "configure", nobody.configure())
    assert left_running(nobody) == [], "it would go on while the machine is configured anew"


@pytest.mark.parametrize("kind", [*(pytest.param(kind, marks=pytest.mark.long) for kind in KINDS),
                                  "speaks as ansible does"])  # fmt: skip
def test_a_stub_of_ansible_playbook(
    nobody: Classroom, ledger: Ledger, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recap = "PC-0001 : ok=51 changed=0 unreachable=0 failed=0 skipped=0 rescued=0 ignored=0"
    script = KINDS.get(kind, f"echo 'PLAY RECAP ***'; echo '{recap}'; exit 0")
    words = shlex.join(["--", "sh", "-c", script])
    monkeypatch.setattr(ansible, "_command", lambda _play: words)
    nobody.timeout_s = 10.0
    booked(ledger, f"stub, ansible-playbook: {kind}", "configure", nobody.configure())


def left_running(room: Classroom) -> list[str]:
    """Programs that have this room's runs in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"ANSIBLE_HOME={room.folder}".encode() in path.read_bytes():
                found.append((path.parent / "cmdline").read_text("utf-8", "replace"))
    return found


LIES = {
    "half a line": '{"id": "hostname", "outcome": "pas',
    "another check": '{"id": "invented", "outcome": "passed", "seconds": 1}',
    "each check twice": "",
}


@pytest.mark.parametrize("kind", KINDS)
def test_stubs_while_verifying(
    nobody: Classroom, ledger: Ledger, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "_pytest", lambda _visit: ["sh", "-c", KINDS[kind]])
    nobody.timeout_s = 3.0
    booked(ledger, f"stub, pytest: {kind}", "verify", nobody.verify())


@pytest.mark.parametrize("lie", LIES)
def test_results_that_are_none(
    nobody: Classroom, ledger: Ledger, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process wrote that was killed in the middle, or that is not ours."""
    text = LIES[lie]
    if not text:
        rows = [{"id": check.id, "outcome": "passed", "seconds": 1}
                for check in expected_checks(nobody.promises)]  # fmt: skip
        text = "\n".join(json.dumps(row) for row in [*rows, *rows])
    script = f"cat > results.jsonl <<'EOF'\n{text}\nEOF"
    monkeypatch.setattr(verify, "_pytest", lambda _visit: ["sh", "-c", script])
    booked(ledger, f"results: {lie}", "verify", nobody.verify())


def test_nobody_there(nobody: Classroom, ledger: Ledger) -> None:
    nobody.timeout_s = 60.0
    booked(ledger, "link lost: before it began", "configure", nobody.configure())
    booked(ledger, "link lost: before it began", "verify", nobody.verify())


# With a machine


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[tuple[Classroom, Target]]:
    (folder / "disk").mkdir()
    with booted(system_squashfs(load_settings().cache_dir), folder / "disk") as target:
        yield made(folder, target), target


def wire(target: Target) -> str:
    """Our end of the wire to the machine."""
    rows = json.loads(run(["ip", "-json", "address"], timeout_s=20).stdout)
    return next(
        str(row["ifname"]) for row in rows
        if any(one.get("local") == target.station for one in row.get("addr_info", ()))
    )  # fmt: skip


def cut(target: Target, share: float) -> Callable[[str, float], None]:
    """Pull the cable once so much was done."""

    def report(_step: str, fraction: float) -> None:
        if fraction >= share:
            run(["ip", "link", "set", wire(target), "down"], timeout_s=20)

    return report


def pull_plug(target: Target) -> None:
    """The machine's power is gone: everything on it ends in the same moment."""
    name = wire(target).replace("cpt", "cpt-").replace("n", "-")
    for procs in Path("/sys/fs/cgroup").glob(f"**/{name}/**/cgroup.procs"):
        for number in procs.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)


def is_configured(target: Target, room: Classroom) -> bool:
    """Asked with the machine's own tools: name, time zone, and that a pupil has an account."""
    words = target.shell("hostname; readlink /etc/localtime; getent passwd").splitlines()
    pupils = {account.login for account in room.promises.accounts}
    known = {line.split(":")[0] for line in words[2:]}
    return words[0] == room.promises.hostname and pupils <= known


@pytest.mark.long
def test_a_machine_whose_link_is_lost(tmp_path: Path, ledger: Ledger) -> None:
    with opened(tmp_path) as (room, target):
        for share in (0.01, 0.5, 0.99):
            said = room.configure(cut(target, share))
            run(["ip", "link", "set", wire(target), "up"], timeout_s=20)
            # At the very end there may be nothing left to be done on the machine.
            true = said.success and is_configured(target, room)
            case = ledger.book(f"link lost: at {share:.0%}", "configure", said, true=true)
            assert case.as_expected, case
        for year, begin in CLOCKS.items():
            with pytest.MonkeyPatch.context() as patch:
                set_clock(patch, begin)
                said = room.configure()
            booked(ledger, f"the station's clock: {year}", "configure", said,
                   true=is_configured(target, room))  # fmt: skip
        assert room.verify().success
        target.shell("hostname somebody")
        booked(ledger, "changed after it was configured", "verify", room.verify())


@pytest.mark.long
def test_a_machine_whose_power_is_lost(tmp_path: Path, ledger: Ledger) -> None:
    """Everything on it ends at once, in the middle of configuring."""
    with opened(tmp_path) as (room, target):

        def report(_step: str, fraction: float) -> None:
            if fraction > 0.2:
                pull_plug(target)

        booked(ledger, "power cut: at 20%", "configure", room.configure(report))
        with pytest.raises(CommandError):
            target.shell("true")
        booked(ledger, "power cut: before it began", "verify", room.verify())
