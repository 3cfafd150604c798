"""Renewing as a machine does it, start by start, on folders; the loader is played by a function
of the same rules (GRUB itself is asked in tests/integration/test_boot_choice.py)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import pytest

from provisioner.agent import bootstate
from provisioner.agent.journey import Journey
from provisioner.agent.renew import (
    GUARD,
    MARK,
    STEPS,
    Applied,
    Hands,
    read_journal,
    renew,
)
from provisioner.errors import (
    CommandError,
    NewSystemSilentError,
    ProofMissingError,
    RenewalInterruptedError,
    WrongStateError,
)
from provisioner.model.order import RenewWork
from provisioner.model.renewal import Check, HomesRule, Phase, RenewEvidence
from provisioner.model.side import SideEvidence
from provisioner.release.bootenv import pack_env, parse_env
from provisioner.release.grubcfg import GRUB_ENV, SECOND_ENV, entry_path, first_boot_files

OLD, OLDER, NEW = "lab@2026.1", "lab@2025.9", "lab@2026.2"
WORK = RenewWork(release=NEW, manifest_sha256="0" * 64)
WELL = (Check(id="network", passed=True),)


class Starting(BaseException):
    """The machine starts again."""


class PowerCut(BaseException):
    """The line flickers."""


class Machine:
    """A disk as folders, and what this start of it runs."""

    def __init__(self, folder: Path) -> None:
        self.esp, self.system, self.state = folder / "esp", folder / "system", folder / "state"
        self.running = OLD
        for name, data in first_boot_files(OLD, system_uuid="s", state_uuid="t").items():
            self._put(self.esp / name.lstrip("/"), data)
        for release in (OLD, OLDER):
            self._put(self.system / "releases" / release / "manifest.dsse.json", b"{}")
        own = self.state / "overlays" / OLD / "upper"
        self._put(own / "etc/classroom/agent.json", b"{}")
        self._put(own / "etc/hostname", b"pc-0001\n")
        self._put(own / "etc/motd", b"changed by the old configuration\n")
        self._put(self.state / "home/pupil/drawing.png", b"a cat")
        (self.state / "agent").mkdir()
        self.filled: list[str] = []
        self.waits = 0
        self.checks: tuple[Check, ...] = WELL
        self.configure: Callable[[RenewWork], Applied] = lambda _: Applied("r1")
        self.cut_at = ""

    @staticmethod
    def _put(path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    @contextlib.contextmanager
    def writable(self) -> Iterator[Mapping[str, Path]]:
        self._maybe("write")
        yield {"ESP": self.esp, "system": self.system}

    @contextlib.contextmanager
    def loader(self) -> Iterator[Path]:
        self._maybe("loader")
        yield self.esp

    def _maybe(self, where: str) -> None:
        if self.cut_at == where:
            self.cut_at = ""
            raise PowerCut

    def fill(
        self, _envelope: bytes, release: str, roots: Mapping[str, Path], _: Journey
    ) -> SideEvidence:
        assert not (self.esp / entry_path(release).lstrip("/")).exists()
        self._put(roots["system"] / "releases" / release / "manifest.dsse.json", b"{}")
        self._put(roots["ESP"] / "releases" / release / "vmlinuz", b"k")
        self._maybe("fill")
        self.filled.append(release)
        return SideEvidence(
            release=release, manifest_sha256="0" * 64, read_back=(), direct_io=True, bytes_kept=0,
            bytes_copied=0, bytes_from_station=1, bytes_from_peers=0, patch_bytes=0,
            damaged_pieces=0,
        )  # fmt: skip

    def leave(self, *, at_once: bool = True) -> NoReturn:
        raise Starting

    def wait(self, _work: RenewWork) -> bool:
        self.waits += 1
        self._maybe("wait")
        return True

    def look(self, _work: RenewWork, _applied: Applied) -> tuple[Check, ...]:
        self._maybe("look")
        return self.checks

    def go(self, work: RenewWork = WORK) -> RenewEvidence | None:
        """What the agent does in this start; None when the machine starts again."""
        hands = Hands(self.fill, lambda _: b"", self.wait, lambda w: self.configure(w), self.look,
                      self.leave, ("s", "t"), self.state)  # fmt: skip
        try:
            return renew("sealed", work, self, hands, Journey(STEPS))
        except (Starting, PowerCut):
            return None

    def start(self) -> str:
        """The loader's rule."""
        place = self.esp / GRUB_ENV.lstrip("/")
        said = parse_env(place.read_bytes()) or {}
        second = parse_env((self.esp / SECOND_ENV.lstrip("/")).read_bytes()) or {}
        self.running = said.get("good") or second["good"]
        left = {"2": "1", "1": "0"}.get(said.get("left", ""))
        if said.get("try") and left and (self.esp / entry_path(said["try"]).lstrip("/")).exists():
            place.write_bytes(pack_env({**said, "left": left}))
            self.running = said["try"]
        return self.running


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_renewal_that_goes_well(machine: Machine) -> None:
    assert machine.go() is None
    assert machine.filled == [NEW]
    assert machine.start() == NEW
    evidence = machine.go()
    assert evidence
    assert (evidence.running, evidence.starts_next, evidence.old) == (NEW, NEW, OLD)
    assert (evidence.configuration, evidence.checks) == ("r1", WELL)
    assert (machine.state / MARK).exists()
    assert [machine.start() for _ in range(5)] == [NEW] * 5
    assert (machine.state / "home/pupil/drawing.png").read_bytes() == b"a cat"
    assert machine.go() == evidence  # said again until the station has it


def test_room_is_made_by_older_releases_only(machine: Machine) -> None:
    machine.go()
    assert sorted(path.name for path in (machine.system / "releases").iterdir()) == [OLD, NEW]


def test_the_new_system_has_the_machines_names_and_nothing_else_of_the_old(
    machine: Machine,
) -> None:
    machine.go()
    own = machine.state / "overlays" / NEW / "upper"
    assert (own / "etc/hostname").read_bytes() == b"pc-0001\n"
    assert not (own / "etc/motd").exists()


def test_files_are_erased_only_when_ordered_and_only_in_the_end(machine: Machine) -> None:
    work = WORK.model_copy(update={"homes": HomesRule.ERASE})
    machine.go(work)
    assert (machine.state / "home/pupil/drawing.png").exists()
    machine.start()
    evidence = machine.go(work)
    assert evidence
    assert evidence.homes_erased == 1
    assert list((machine.state / "home").iterdir()) == [machine.state / "home/pupil"]
    assert not list((machine.state / "home/pupil").iterdir())


def test_files_stay_when_the_new_system_is_not_kept(machine: Machine) -> None:
    work = WORK.model_copy(update={"homes": HomesRule.ERASE})
    machine.checks = (Check(id="network", passed=False),)
    machine.go(work)
    machine.start()
    machine.go(work)
    assert (machine.state / "home/pupil/drawing.png").exists()


def failing(_work: RenewWork) -> Applied:
    raise CommandError("the role “desktop” failed")


def disk_full(_work: RenewWork) -> Applied:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("configure", "said"), [(failing, "desktop"), (disk_full, "No space left")]
)
def test_a_configuration_that_fails_leads_back_in_one_start(
    machine: Machine, configure: Callable[[RenewWork], Applied], said: str
) -> None:
    machine.configure = configure
    machine.go()
    assert machine.start() == NEW
    assert machine.go() is None
    assert machine.start() == OLD
    with pytest.raises(ProofMissingError, match=said):
        machine.go()
    assert [machine.start() for _ in range(5)] == [OLD] * 5


def test_a_promise_that_does_not_hold_leads_back(machine: Machine) -> None:
    machine.checks = (*WELL, Check(id="input method", passed=False, value="no pinyin"))
    machine.go()
    machine.start()
    machine.go()
    assert machine.start() == OLD
    with pytest.raises(ProofMissingError, match=r"input method \(no pinyin\)"):
        machine.go()


def test_a_system_that_never_comes_up_is_left_in_the_third_start(machine: Machine) -> None:
    machine.go()
    assert [machine.start(), machine.start(), machine.start()] == [NEW, NEW, OLD]
    with pytest.raises(NewSystemSilentError, match="never came up"):
        machine.go()
    assert machine.start() == OLD


def test_what_the_guard_saw_is_told(machine: Machine) -> None:
    machine.go()
    machine.start()
    (machine.state / GUARD).write_text("nothing was proved in 20 minutes\n")
    machine.start()
    machine.start()
    with pytest.raises(NewSystemSilentError, match="nothing was proved in 20 minutes"):
        machine.go()


def test_a_system_that_lost_its_power_twice_is_tried_again(machine: Machine) -> None:
    machine.go()
    for _ in range(2):
        assert machine.start() == NEW
        machine.cut_at = "look"
        assert machine.go() is None
    assert machine.start() == OLD
    with pytest.raises(RenewalInterruptedError):
        machine.go()


def test_what_a_refused_system_left_on_the_disk_is_removed(machine: Machine) -> None:
    machine.checks = (Check(id="room", passed=False),)
    machine.go()
    junk = machine.state / "overlays" / NEW / "upper/var/junk"
    machine.start()
    machine._put(junk, b"all of the disk")
    machine.go()
    assert junk.exists()  # it runs from there
    machine.start()
    with pytest.raises(ProofMissingError):
        machine.go()
    assert not junk.exists()
    assert (machine.state / "overlays" / OLD / "upper/etc/hostname").exists()


def test_a_full_disk_can_still_say_so(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    room = machine.state / "agent/room"

    def full(path: Path, text: str) -> None:
        if room.exists():
            raise OSError(28, "No space left on device")
        path.write_text(text)

    machine.configure = disk_full
    machine.go()
    machine.start()
    assert room.stat().st_size > 0
    monkeypatch.setattr("provisioner.agent.renew.write_whole", full)
    assert machine.go() is None
    journal = read_journal(machine.state)
    assert journal
    assert journal.phase is Phase.FAILED


@pytest.mark.parametrize("where", ["write", "fill", "wait", "loader"])
def test_power_is_lost_in_the_old_system(machine: Machine, where: str) -> None:
    machine.cut_at = where
    assert machine.go() is None
    assert machine.start() == OLD
    assert machine.go() is None
    assert machine.start() == NEW
    evidence = machine.go()
    assert evidence
    assert evidence.starts_next == NEW


@pytest.mark.parametrize("where", ["look", "loader"])
def test_power_is_lost_once_in_the_new_system(machine: Machine, where: str) -> None:
    machine.go()
    machine.start()
    machine.cut_at = where
    assert machine.go() is None
    assert machine.start() == NEW
    evidence = machine.go()
    assert evidence
    assert machine.start() == NEW


def test_what_was_brought_is_not_brought_again(machine: Machine) -> None:
    machine.cut_at = "wait"
    machine.go()
    machine.go()
    assert machine.filled == [NEW]


def test_nothing_starts_a_release_while_it_is_changed(machine: Machine) -> None:
    """`fill` looks: an entry of an earlier renewal to it is gone by then."""
    entry = machine.esp / entry_path(NEW).lstrip("/")
    entry.parent.mkdir(parents=True)
    entry.write_text("linux /releases/lab@2026.2/vmlinuz")
    machine.go()
    assert machine.filled == [NEW]


def test_the_running_release_is_no_renewal(machine: Machine) -> None:
    machine.running = NEW
    with pytest.raises(WrongStateError):
        machine.go()


def test_a_damaged_journal_is_begun_anew(machine: Machine) -> None:
    (machine.state / "agent/renewal.json").write_text("{")
    assert read_journal(machine.state) is None
    machine.go()
    journal = read_journal(machine.state)
    assert journal
    assert journal.phase is Phase.TRIAL


def test_a_lost_first_block_is_mended_before_it_is_needed(machine: Machine) -> None:
    (machine.esp / GRUB_ENV.lstrip("/")).write_bytes(b"\0" * 1024)
    machine.go()
    assert machine.start() == NEW
    assert bootstate.read_state(machine.esp).good == OLD
