"""`make lab`, as a newcomer runs it: two virtual PCs from power-on to verified.

The tests start the real command and then read only what it wrote. The workshop day of
test_classroom takes the same way with trouble on it, so the whole run here is marked as long.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
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
CLEAN_UP_S = 60.0
LAB = [sys.executable, "-m", "provisioner", "lab"]
FOLDERS = Path("/var/tmp")
WORKSHOP = [Verb.DISCOVER, Verb.ENROL, Verb.DIAGNOSE, Verb.WIPE, Verb.IMAGE, Verb.CONFIGURE,
            Verb.VERIFY]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where one run of the lab left its summary, passports and output."""
    folder = tmp_path_factory.mktemp("lab")
    words = [*LAB, "--machines", "2", "--summary", str(folder / "summary.json")]
    words += ["--passports", str(folder / "passports")]
    with (folder / "output").open("wb") as output:
        done = subprocess.run(
            words, cwd=PROJECT, stdout=output, stderr=subprocess.STDOUT, timeout=TIMEOUT_S
        )
    assert done.returncode == 0, (folder / "output").read_text()[-3000:]
    yield folder


@pytest.fixture(scope="module")
def summary(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "summary.json").read_text()))


@pytest.mark.long
def test_two_machines_are_verified(summary: dict[str, Any]) -> None:
    assert [machine["milestone"] for machine in summary["machines"]] == [Milestone.VERIFIED] * 2


@pytest.mark.long
def test_every_stage_left_evidence(summary: dict[str, Any]) -> None:
    for machine in summary["machines"]:
        stages = machine["stages"]
        assert {verb: stages[verb]["outcome"] for verb in WORKSHOP} == dict.fromkeys(
            WORKSHOP, "succeeded"
        )
        assert all(stages[verb]["evidence"] for verb in WORKSHOP)


@pytest.mark.long
def test_one_is_a_bios_machine_and_one_has_secure_boot_on(summary: dict[str, Any]) -> None:
    found = {(machine["firmware"], machine["secure_boot"]) for machine in summary["machines"]}
    assert found == {("bios", False), ("uefi64", True)}


@pytest.mark.long
def test_bystanders_are_untouched(summary: dict[str, Any]) -> None:
    disks = summary["bystander_disks"]
    assert len(disks) == 2  # the USB stick, and the second disk of the other machine
    assert all(disk["sha256_before"] == disk["sha256_after"] for disk in disks)


@pytest.mark.long
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


@pytest.mark.long
def test_every_machine_has_a_signed_passport(folder: Path, summary: dict[str, Any]) -> None:
    for machine in summary["machines"]:
        tag = machine["asset_tag"]
        sealed = (folder / "passports" / f"{tag}.json").read_text()
        passport, _ = open_envelope(sealed, Passport, trusted=None)
        assert (passport.asset_tag, passport.milestone) == (tag, Milestone.VERIFIED)


@pytest.mark.long
def test_every_erased_disk_has_a_certificate_and_the_donor_has_one(
    folder: Path, summary: dict[str, Any]
) -> None:
    papers = summary["certificates"]
    tags = [machine["asset_tag"] for machine in summary["machines"]]
    assert [paper["about"] for paper in papers] == [*tags, "lab"]
    for paper in papers:
        file = Path(paper["file"])
        assert hashlib.sha256(file.read_bytes().rstrip(b"\n")).hexdigest() == paper["sha256"]
        assert file.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.long
def test_nothing_is_left_behind(folder: Path) -> None:
    assert left_behind() == []


def test_ctrl_c_takes_everything_away(tmp_path: Path) -> None:
    with (tmp_path / "output").open("wb") as output:
        lab = subprocess.Popen(
            [*LAB, "--machines", "1", "--passports", str(tmp_path)],
            cwd=PROJECT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        until = time.monotonic() + TIMEOUT_S
        while not any("qemu" in what for what in left_behind()):
            assert lab.poll() is None and time.monotonic() < until, (
                tmp_path / "output"
            ).read_text()
            time.sleep(0.2)
        os.killpg(lab.pid, signal.SIGINT)  # as a terminal does: everybody in it hears
        assert lab.wait(CLEAN_UP_S) != 0
    finally:
        lab.kill()
    assert left_behind() == []
    assert not list(tmp_path.glob("*.json"))


def left_behind() -> list[str]:
    """Namespaces, folders, mounts and processes of a lab that are here now."""
    spaces = [name for name in namespaces() if (RUN_ROOT / name).exists()]
    folders = [str(path) for path in FOLDERS.glob("classroom-lab-*")]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if "-lab-" in line]
    return [*spaces, *folders, *mounts, *(line for line in processes() if "classroom-lab-" in line)]


def processes() -> Iterator[str]:
    """Every command line on this computer."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has just ended
