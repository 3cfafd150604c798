"""`make lab`, as a newcomer runs it: two virtual PCs from power-on to verified.

The test starts the real command and then reads only what it wrote.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner.lab.network import RUN_ROOT, namespaces
from provisioner.lifecycle import Milestone, Verb
from provisioner.model.signed import open_envelope
from provisioner.settings import PROJECT
from provisioner.workshop.passport import Passport

pytestmark = pytest.mark.vm

TIMEOUT_S = 3000.0
WORKSHOP = [Verb.DISCOVER, Verb.ENROL, Verb.DIAGNOSE, Verb.WIPE, Verb.IMAGE, Verb.CONFIGURE,
            Verb.VERIFY]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where one run of the lab left its summary, passports and output."""
    folder = tmp_path_factory.mktemp("lab")
    words = [sys.executable, "-m", "provisioner", "lab", "--machines", "2"]
    words += ["--summary", str(folder / "summary.json"), "--passports", str(folder / "passports")]
    with (folder / "output").open("wb") as output:
        done = subprocess.run(
            words, cwd=PROJECT, stdout=output, stderr=subprocess.STDOUT, timeout=TIMEOUT_S
        )
    assert done.returncode == 0, (folder / "output").read_text()[-3000:]
    yield folder


@pytest.fixture(scope="module")
def summary(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "summary.json").read_text()))


def test_two_machines_are_verified(summary: dict[str, Any]) -> None:
    assert [machine["milestone"] for machine in summary["machines"]] == [Milestone.VERIFIED] * 2


def test_every_stage_left_evidence(summary: dict[str, Any]) -> None:
    for machine in summary["machines"]:
        stages = machine["stages"]
        assert {verb: stages[verb]["outcome"] for verb in WORKSHOP} == dict.fromkeys(
            WORKSHOP, "succeeded"
        )
        assert all(stages[verb]["evidence"] for verb in WORKSHOP)


def test_one_is_a_bios_machine_and_one_has_secure_boot_on(summary: dict[str, Any]) -> None:
    found = {(machine["firmware"], machine["secure_boot"]) for machine in summary["machines"]}
    assert found == {("bios", False), ("uefi64", True)}


def test_bystanders_are_untouched(summary: dict[str, Any]) -> None:
    disks = summary["bystander_disks"]
    assert len(disks) == 2  # the USB stick, and the second disk of the other machine
    assert all(disk["sha256_before"] == disk["sha256_after"] for disk in disks)


def test_the_machines_are_not_clones_of_one_another(summary: dict[str, Any]) -> None:
    evidence = [machine["stages"][Verb.IMAGE]["evidence"] for machine in summary["machines"]]
    assert evidence[0]["ssh_host_keys"] != evidence[1]["ssh_host_keys"]
    identities = [
        identity
        for one in evidence
        for part in one["partitions"]
        for identity in (part["guid"], part["filesystem_uuid"])
        if identity
    ]
    assert len(identities) == len(set(identities))


def test_every_machine_has_a_signed_passport(folder: Path, summary: dict[str, Any]) -> None:
    for machine in summary["machines"]:
        tag = machine["asset_tag"]
        sealed = (folder / "passports" / f"{tag}.json").read_text()
        passport, _ = open_envelope(sealed, Passport, trusted=None)
        assert (passport.asset_tag, passport.milestone) == (tag, Milestone.VERIFIED)


def test_nothing_is_left_behind(folder: Path) -> None:
    assert not [name for name in namespaces() if (RUN_ROOT / name).exists()]
    assert not list(Path("/var/tmp").glob("classroom-lab-*"))
