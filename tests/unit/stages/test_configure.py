"""Configure: only two good runs, the second without a change, prove anything."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioner.errors import UnreachableError
from provisioner.fleet.inventory import StationFacts
from provisioner.fleet.school import load_school
from provisioner.fleet.vault import Vault
from provisioner.model.school import School, SeatedMachine
from provisioner.stages import configure
from provisioner.stages.ansible import HostRecap, Play, PlayRecap
from provisioner.stages.configure import (
    ConfigureEvidence,
    RunCounts,
    Workplace,
    configure_machine,
    judge_configure,
    revision,
)

ROOT = Path(__file__).parents[3]
REVISION = "a" * 64
GOOD = ConfigureEvidence(
    school="new-shoots",
    seat="pupil-01",
    hostname="shoots-pupil-01",
    revision=REVISION,
    first=RunCounts(ok=12, changed=9),
    again=RunCounts(ok=9, changed=0),
)


def judge(**other: object) -> list[str]:
    evidence = GOOD.model_copy(update=other)
    return judge_configure(evidence, school="new-shoots", revision=REVISION)


def test_two_good_runs_are_proof() -> None:
    assert judge() == []


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"again": None}, "not looked at again"),
        ({"again": RunCounts(ok=0, changed=0)}, "No task"),
        ({"again": RunCounts(ok=9, changed=1, changed_tasks=("Set it",))}, "“Set it”"),
        ({"first": RunCounts(ok=0, changed=0)}, "No task"),
        ({"problems": ("On PC-0001, “x” failed: y",)}, "“x” failed"),
        ({"school": "high-pasture"}, "another school"),
        ({"revision": "b" * 64}, "changed meanwhile"),
    ],
)
def test_anything_less_is_not(other: dict[str, object], reason: str) -> None:
    assert any(reason in found for found in judge(**other))


@pytest.fixture
def school(tmp_path: Path) -> School:
    return load_school(
        Path(shutil.copytree(ROOT / "inventories/new-shoots", tmp_path / "new-shoots"))
    )


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    file, password = tmp_path / "vault.yml", tmp_path / "vault-password"
    file.write_text("$ANSIBLE_VAULT;1.1;AES256\n00\n")
    password.write_text("x\n")
    return Vault(file, password)


Configure = Callable[..., ConfigureEvidence]


@pytest.fixture
def plays(monkeypatch: pytest.MonkeyPatch) -> list[Play]:
    """The plays that were started; each comes to the next of `outcomes`."""
    started: list[Play] = []

    def run_play(play: Play, folder: Path, **options: object) -> PlayRecap:
        started.append(play)
        report = options["report"]
        assert callable(report)
        report("half", 0.5)
        host = OUTCOMES[len(started) - 1]
        return PlayRecap(hosts={"PC-0001": host}, status="successful", return_code=0, log=folder)

    monkeypatch.setattr(configure, "run_play", run_play)
    return started


OUTCOMES: list[HostRecap] = []


def run(
    school: School, vault: Vault, tmp_path: Path, outcomes: list[HostRecap]
) -> tuple[ConfigureEvidence, list[tuple[str, float]]]:
    OUTCOMES[:] = outcomes
    told: list[tuple[str, float]] = []
    evidence = configure_machine(
        school,
        SeatedMachine(asset_tag="PC-0001", seat=2, address="10.77.0.9"),
        workplace=Workplace(ROOT / "playbooks", tmp_path / "key", StationFacts()),
        vault=vault,
        known_hosts=tmp_path / "known_hosts",
        folder=tmp_path / "run",
        timeout_s=10,
        report=lambda step, fraction: told.append((step, round(fraction, 3))),
    )
    return evidence, told


def test_the_playbook_runs_twice(
    school: School, vault: Vault, tmp_path: Path, plays: list[Play]
) -> None:
    evidence, told = run(school, vault, tmp_path, [HostRecap(ok=9, changed=7), HostRecap(ok=9)])
    expected = revision(school, vault, ROOT / "playbooks")
    assert judge_configure(evidence, school="new-shoots", revision=expected) == []
    assert (evidence.seat, evidence.hostname) == ("pupil-01", "shoots-pupil-01")
    assert [play.check for play in plays] == [False, False]
    assert told == [("half", 0.3), ("half", 0.8)]


def test_a_failed_run_is_not_repeated(
    school: School, vault: Vault, tmp_path: Path, plays: list[Play]
) -> None:
    bad = HostRecap(ok=2, failed=1, failed_task="Make the accounts", message="no space")
    evidence, _ = run(school, vault, tmp_path, [bad])
    assert len(plays) == 1
    assert evidence.again is None
    assert "“Make the accounts” failed: no space" in evidence.problems[0]


def test_tried_again_in_the_same_folder(
    school: School, vault: Vault, tmp_path: Path, plays: list[Play]
) -> None:
    old = tmp_path / "run" / "first" / "artifacts"
    old.mkdir(parents=True)
    run(school, vault, tmp_path, [HostRecap(ok=9), HostRecap(ok=9)])
    assert not old.exists()


def test_a_machine_that_went_away_says_nothing_about_itself(
    school: School, vault: Vault, tmp_path: Path, plays: list[Play]
) -> None:
    with pytest.raises(UnreachableError):
        run(school, vault, tmp_path, [HostRecap(unreachable=1, message="timed out")])
    assert len(plays) == 1


@pytest.mark.parametrize("name", ["school.yml", "wallpaper.png", "group_vars/all.yml"])
def test_a_change_in_the_folder_is_another_revision(
    school: School, vault: Vault, name: str
) -> None:
    before = revision(school, vault, ROOT / "playbooks")
    path = school.folder / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert revision(school, vault, ROOT / "playbooks") != before


def test_other_secrets_or_playbooks_are_another_revision(
    school: School, vault: Vault, tmp_path: Path
) -> None:
    playbooks = Path(shutil.copytree(ROOT / "playbooks", tmp_path / "playbooks"))
    before = revision(school, vault, playbooks)
    assert before == revision(school, vault, ROOT / "playbooks")
    (playbooks / "roles" / "time" / "tasks" / "main.yml").rename(playbooks / "main.yml")
    moved = revision(school, vault, playbooks)
    vault.file.write_text("$ANSIBLE_VAULT;1.1;AES256\n01\n")
    assert len({before, moved, revision(school, vault, playbooks)}) == 3
