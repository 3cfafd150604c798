"""Made-up machines, batches and histories for tests that look at things."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from provisioner.lifecycle import STAGES, Milestone, RunState, Verb
from provisioner.model.batch import BatchPlan, DiskRule, Policy
from provisioner.model.hardware import Disk, DiskRef, Firmware, Hardware, Nic, Smbios, Transport
from provisioner.model.record import Problem
from provisioner.model.release import (
    MANIFEST,
    Component,
    Manifest,
    Minimum,
    ReleaseFile,
    ReleaseKind,
)
from provisioner.settings import Settings
from provisioner.store.tables import BatchRow, CounterRow, MachineRow, RunRow, now
from provisioner.workshop import desk, runs
from provisioner.workshop.station import Station, open_station

SCHOOL = "new-shoots"
BATCH = "class-2026-11"
SILENT = "PC-0008"


def make_station(folder: Path) -> Station:
    """A station on a real SQLite file, with two small releases."""
    shutil.copytree(_prototype(False), folder / "state")
    return _open(folder / "state")


def make_busy_station(folder: Path) -> Station:
    """The same on a busy day: see `busy_day`."""
    shutil.copytree(_prototype(True), folder / "state")
    station = _open(folder / "state")
    show_progress(station)
    return station


@cache
def _prototype(busy: bool) -> Path:
    """A state folder that is made once and then copied: migrations take longer than most tests."""
    folder = Path(tempfile.mkdtemp(prefix="prototype-"))
    atexit.register(shutil.rmtree, folder)
    station = _open(folder / "state")
    publish(station, make_manifest())
    publish(station, make_manifest(name="live", kind=ReleaseKind.LIVE))
    if busy:
        busy_day(station)
    station.database.close()
    return folder / "state"


def _open(state_dir: Path) -> Station:
    return open_station(Settings(state_dir=state_dir), url="http://10.77.0.1:8080")


def make_manifest(name: str = "education", kind: ReleaseKind = ReleaseKind.SYSTEM) -> Manifest:
    return Manifest(
        name=name, version="2026.1", number=2026001, kind=kind, suite="trixie",
        architecture="amd64", source_date_epoch=0, recipe_sha256="0" * 64,
        minimum=Minimum(memory_mib=1024, disk_mb=4000), installed_bytes=1_220_000_000,
        files=(
            ReleaseFile(path="system.squashfs", size=560_000_000, sha256="a" * 64),
            ReleaseFile(path="vmlinuz", size=9_000_000, sha256="b" * 64),
        ),
        components=(Component(name="firefox-esr", version="140.3", licence="MPL-2.0"),),
    )  # fmt: skip


def publish(station: Station, manifest: Manifest) -> None:
    folder = station.settings.releases_dir / manifest.id
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(station.key.seal(manifest))


def open_batch(station: Station, name: str = BATCH, size: int = 12) -> None:
    plan = BatchPlan(
        name=name, school=SCHOOL, release="education", size=size,
        policy=Policy(disk=DiskRule.ONLY),
    )  # fmt: skip
    with station.database.transaction() as session:
        desk.create_batch(station, session, plan, "test")


def make_disk(**changes: Any) -> Disk:
    values: dict[str, Any] = {
        "name": "sda", "serial": "S3Z8NB0K712345", "wwn": "0x5002538e40a1b2c3",
        "model": "Samsung SSD 860 EVO 250GB", "size_bytes": 250_059_350_016,
        "logical_sector_bytes": 512, "physical_sector_bytes": 4096, "transport": Transport.SATA,
        "removable": False, "content": ("ntfs",),
    }  # fmt: skip
    return Disk(**{**values, **changes})


def make_hardware(number: int = 1, **changes: Any) -> Hardware:
    mac = f"52:54:00:12:{number >> 8:02x}:{number & 255:02x}"
    values: dict[str, Any] = {
        "smbios": Smbios(
            uuid=f"4c4c4544-0034-4a10-8051-{number:012d}", system_vendor="Dell Inc.",
            system_product="OptiPlex 3020", system_serial=f"7XK{number:04d}",
        ),
        "firmware": Firmware.UEFI64, "secure_boot": True, "cpu_threads": 4,
        "cpu": "Intel(R) Core(TM) i3-4150 CPU @ 3.50GHz", "memory_mib": 4096,
        "disks": (make_disk(serial=f"S3Z8NB0K7{number:05d}"),),
        "nics": (Nic(name="eno1", mac=mac, link=True),),
    }  # fmt: skip
    return Hardware(**{**values, **changes})


def add_machine(
    session: Session,
    number: int,
    milestone: Milestone = Milestone.ENROLLED,
    hardware: Hardware | None = None,
    batch: str | None = BATCH,
) -> MachineRow:
    """A machine with the runs that brought it to `milestone`."""
    hardware = hardware or make_hardware(number)
    row = MachineRow(
        milestone=milestone,
        hardware=hardware.model_dump(mode="json"),
        boot={"surroundings": "live", "kernel": "6.12.48+deb13-amd64"},
        address=f"10.77.0.{100 + number}",
    )
    if batch is not None:
        row.batch = session.query(BatchRow).filter_by(name=batch).one()
        row.asset_tag, row.seat = f"PC-{number:04d}", number
    if hardware.disks and milestone.rank >= Milestone.DIAGNOSED.rank:
        row.target = DiskRef.of(hardware.disks[0]).model_dump(mode="json")
    if milestone.rank >= Milestone.IMAGED.rank:
        row.release = "education@2026.1"
    session.add(row)
    session.flush()
    _add_history(session, row, milestone, hardware)
    return row


def start(session: Session, machine: MachineRow, verb: Verb, minutes_ago: float) -> RunRow:
    """A run that is at work now."""
    run = runs.open_run(session, machine, verb)
    run.started_at = now() - timedelta(minutes=minutes_ago)
    return run


def fail(session: Session, machine: MachineRow, verb: Verb, problem: Problem) -> None:
    """A run that has just failed."""
    run = start(session, machine, verb, 2)
    runs.fail(session, machine, run, problem)


def _add_history(
    session: Session, machine: MachineRow, milestone: Milestone, hardware: Hardware
) -> None:
    for row in STAGES:
        if row.gives.rank > milestone.rank or row.verb in (Verb.RENEW, Verb.RETIRE):
            continue
        began = now() - timedelta(minutes=30 - 3 * row.gives.rank)
        session.add(
            RunRow(
                machine_id=machine.id, verb=row.verb, state=RunState.SUCCEEDED,
                started_at=began, ended_at=began + timedelta(seconds=20 + 31 * row.gives.rank),
                evidence=make_evidence(row.verb, machine, hardware),
            )
        )  # fmt: skip
    session.flush()


def make_evidence(verb: Verb, machine: MachineRow, hardware: Hardware) -> dict[str, Any]:
    """Evidence of the form that the stage leaves."""
    disk = machine.target or {}
    size = disk.get("size_bytes", 0)
    samples = [{"offset": n * 4096, "before": "c" * 64, "after": "d" * 64} for n in range(64)]
    checks = ("memory-size", "memory-pattern", "disk-size", "disk-read", "disk-health")
    evidence: dict[Verb, dict[str, Any]] = {
        Verb.DISCOVER: {
            "model": f"{hardware.smbios.system_vendor} {hardware.smbios.system_product}",
            "firmware": hardware.firmware, "secure_boot": hardware.secure_boot,
            "memory_mib": hardware.memory_mib,
            "disks": [d.model_dump(mode="json") for d in hardware.disks],
        },
        Verb.ENROL: {"asset_tag": machine.asset_tag, "batch": BATCH, "seat": machine.seat},
        Verb.DIAGNOSE: {
            "verb": "diagnose",
            "checks": [{"id": name, "outcome": "pass", "value": "1"} for name in checks],
        },
        Verb.WIPE: {
            "verb": "wipe", "disk": disk, "method": "overwrite", "bytes_written": size,
            "bytes_read_back": 64 * 4096, "samples": samples, "nonzero_blocks": 0,
        },
        Verb.IMAGE: {
            "verb": "image", "disk": disk, "release": "education@2026.1",
            "read_back": [{"path": "system.squashfs", "size": 560_000_000, "sha256": "a" * 64}],
        },
        Verb.CONFIGURE: {
            "verb": "configure", "school": SCHOOL, "hostname": "class-p05",
            "first": {"ok": 51, "changed": 38}, "again": {"ok": 51, "changed": 0}, "problems": [],
        },
        Verb.VERIFY: {
            "verb": "verify",
            "checks": [{"id": f"check-{n}", "outcome": "passed"} for n in range(24)],
        },
        Verb.HAND_OVER: {"received_by": "Ms Li", "noted_by": "test"},
    }  # fmt: skip
    return evidence.get(verb, {})


def busy_day(station: Station) -> None:
    """A batch of twelve with eight machines, each in another state, and one newcomer."""
    open_batch(station)
    with station.database.transaction() as session:
        add_machine(session, 1, Milestone.VERIFIED)
        start(session, add_machine(session, 2, Milestone.DIAGNOSED), Verb.WIPE, 4.5)
        start(session, add_machine(session, 3, Milestone.WIPED, _lenovo(3)), Verb.IMAGE, 3)
        fail(session, add_machine(session, 4, Milestone.WIPED, _lenovo(4)), Verb.IMAGE, FAULTY)
        ask = add_machine(session, 5, Milestone.ENROLLED, _two_disks(5))
        ask.needs_hand = WHICH_DISK.model_dump()
        start(session, add_machine(session, 6, Milestone.IMAGED), Verb.CONFIGURE, 1)
        add_machine(session, 7, Milestone.VERIFIED, _placeholders(7))
        start(session, add_machine(session, 8, Milestone.DIAGNOSED, _lenovo(8)), Verb.WIPE, 9)
        add_machine(session, 9, Milestone.DISCOVERED, batch=None)
        session.get_one(CounterRow, "asset-tag").value = 9
    show_progress(station)


def show_progress(station: Station) -> None:
    """What the machines of the busy day do this second; all but one were heard just now."""
    with station.database.transaction() as session:
        number = {row.asset_tag: row.id for row in session.query(MachineRow)}
        for row in session.query(MachineRow):
            row.last_seen = now() - timedelta(minutes=4 if row.asset_tag == SILENT else 0)
    station.board.show(number["PC-0002"], "Overwriting the disk", 0.42, 118_400_000)
    station.board.show(number["PC-0003"], "Fetching the system", 0.61, 43_700_000)
    station.board.show(number["PC-0006"], "9/21 accounts : Make the accounts", 0.35)


FAULTY = Problem(
    kind="DiskFaultError",
    message="The disk Samsung SSD 860 EVO 250GB S3Z8NB0K700004 did not keep what was written at "
    "byte 1 203 765 248.",
    hint="Put in another disk, then press “try again”.",
)
WHICH_DISK = Problem(
    kind="ask",
    message="2 disks could be used and the rule “only” does not say which. Disks: Samsung SSD 860 "
    "EVO 250GB S3Z8NB0K700005, 250.1 GB (could be used); WDC WD10EZEX WCC3F7, 1000.2 GB (could "
    "be used).",
    hint="Choose one on the dashboard, or unplug the other.",
)


def _lenovo(number: int) -> Hardware:
    smbios = Smbios(system_vendor="LENOVO", system_product="ThinkCentre M73", system_serial="PC04")
    return make_hardware(number, smbios=smbios)


def _two_disks(number: int) -> Hardware:
    second = make_disk(
        name="sdb", serial="WCC3F7", wwn="", model="WDC WD10EZEX", size_bytes=1_000_204_886_016,
        rotational=True,
    )  # fmt: skip
    stick = make_disk(
        name="sdc", serial="4C530001", wwn="", model="SanDisk Ultra", size_bytes=15_376_318_464,
        transport=Transport.USB, removable=True, content=("vfat",),
    )  # fmt: skip
    return make_hardware(number, disks=(make_disk(serial="S3Z8NB0K700005"), second, stick))


def _placeholders(number: int) -> Hardware:
    nobody = Smbios(system_vendor="To be filled by O.E.M.", system_product="To be filled by O.E.M.")
    return make_hardware(
        number, smbios=nobody, firmware=Firmware.BIOS, secure_boot=None, memory_mib=2048
    )
