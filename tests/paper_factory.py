"""A small workshop with machines that were really (by a robot's word) erased; sample documents.

`python -m tests.paper_factory FOLDER` writes the documents of docs/samples (see the Makefile).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from provisioner.documents.certificates import (
    issue_for_batch,
    issue_for_machine,
    read_certificate,
)
from provisioner.documents.labels import Form, labels_pdf, machines_of_batch
from provisioner.documents.papers import certificate_pdf
from provisioner.model.batch import Policy
from provisioner.model.certificate import Paper, Person
from provisioner.model.erasure import WipeMethod
from provisioner.model.hardware import Disk, Hardware, Nic, Smbios, Transport
from provisioner.model.order import WipeWork
from provisioner.model.record import DriveErasure, SmartReading
from provisioner.settings import Settings
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import Station, open_station
from tests.factories import make_disk
from tests.unit.workshop.conftest import open_batch, publish, small_manifest
from tests.unit.workshop.robot import Robot, honest, wiped

BATCH = "donor-2026-11"
PAPER = Paper(
    donor="Example Trading Co., Ltd.", destination="refurbished, stays in the machine",
    verified_by=Person(name="Chen Lan", title="Volunteer", location="Workshop, bench 3",
                       contact="workshop@example.org", date="2026-11-22"),
)  # fmt: skip
MODELS = (("Dell Inc.", "OptiPlex 3020", "3"), ("LENOVO", "ThinkCentre M73", "3"),
          ("Hewlett-Packard", "HP EliteDesk 800 G1 SFF", "4"),
          ("LENOVO", "ThinkPad T440", "10"))  # fmt: skip
SMART = SmartReading(passed=True, power_on_hours=14_212, reallocated=0, uncorrectable=0,
                     timeouts=0, pending=0, offline_uncorrectable=0)  # fmt: skip


def make_workshop(folder: Path, machines: int = 5, **settings: Any) -> Station:
    """A station with a batch of machines that have gone through diagnosis and wipe."""
    values = {
        "workshop_name": "Second Bell Workshop · 二铃工场",
        "public_url": "http://10.77.0.1:8000",
    }
    station = open_station(
        Settings(state_dir=folder / "state", **{**values, **settings}), url="http://10.77.0.1:8080"
    )
    publish(station, small_manifest())
    open_batch(station, BATCH, size=40, policy=Policy())
    for number in range(1, machines + 1):
        send_through(Dialogue(station), make_pc(number))
    return station


def make_pc(number: int, **changes: Any) -> Hardware:
    vendor, product, chassis = MODELS[number % len(MODELS)]
    disks: list[Disk] = [_hdd(number) if number % 2 else _ssd(number)]
    if number == 4:
        stick = make_disk(
            name="sdb", serial="4C530001", wwn="", model="SanDisk Ultra",
            size_bytes=15_376_318_464, transport=Transport.USB, removable=True,
        )  # fmt: skip
        disks.append(stick)
    values: dict[str, Any] = {
        "smbios": Smbios(
            uuid=f"4c4c4544-0034-4a10-8051-{number:012d}", system_vendor=vendor,
            system_product=product, system_serial=f"7XK{number:04d}", chassis_type=chassis,
        ),
        "firmware": "uefi64", "cpu": "Intel(R) Core(TM) i3-4150 CPU @ 3.50GHz", "cpu_threads": 4,
        "memory_mib": 4096, "disks": tuple(disks),
        "nics": (Nic(name="eno1", mac=f"a4:bb:6d:00:00:{number:02x}", link=True, speed_mbit=1000),),
    }  # fmt: skip
    return Hardware(**{**values, **changes})


def send_through(dialogue: Dialogue, parts: Hardware, **evidence: Any) -> None:
    """Diagnose and wipe, honestly; the wipe's evidence may be changed."""
    robot = Robot(dialogue, parts)
    robot.register()
    for _ in range(2):
        order = robot.order()
        assert order is not None
        if isinstance(order.work, WipeWork):
            robot.send(order, wiped(order.work, **{**figures(order.work), **evidence}))
        else:
            said = honest(order, small_manifest(), robot.installed_key.public)
            robot.send(order, said.model_copy(update={"smart": SMART}))


def figures(work: WipeWork) -> dict[str, Any]:
    """What an agent tells beside what the judge needs."""
    later = SMART.model_copy(update={"power_on_hours": 14_214})
    found: dict[str, Any] = {
        "tool": "classroom-agent direct overwrite", "tool_version": "0.1.0",
        "smart_before": SMART, "smart_after": later, "real_bytes": work.disk.size_bytes,
        "hidden_areas_known": True,
    }  # fmt: skip
    if work.disk.model.startswith("TOSHIBA"):
        found |= {
            "hidden_areas_known": False,
            "exceptions": ("The drive did not tell whether it hides an area (HPA, DCO).",),
        }
    if work.level == "purge":
        method = WipeMethod.ATA_SANITIZE_BLOCK
        found |= {
            "level": "purge", "method": method,
            "drive": DriveErasure(method=method, command="hdparm --sanitize-block-erase /dev/sda",
                                  tool="hdparm v9.65", confirmed=True, marks_survived=0),
        }  # fmt: skip
    return found


def _hdd(number: int) -> Disk:
    model = "TOSHIBA DT01ACA050" if number % 3 == 0 else "WDC WD5000AAKX-60U6AA0"
    return make_disk(serial=f"WD-WCC2E{number:06d}", wwn="", model=model, rotational=True,
                     size_bytes=500_107_862_016)  # fmt: skip


def _ssd(number: int) -> Disk:
    return make_disk(serial=f"S3Z8NB0K7{number:05d}")


def write_samples(folder: Path) -> None:
    """Certificate, batch certificate and labels, each in both languages."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        station = make_workshop(Path(name))
        (station.settings.state_dir / "weights.yaml").write_text("LENOVO ThinkCentre M73: 5.1\n")
        with station.database.transaction() as session:
            one = issue_for_machine(station, session, "PC-0002", PAPER, "sample")
            all_ = issue_for_batch(station, session, BATCH, PAPER, "sample")
            machines = machines_of_batch(session, BATCH)
            for language in ("en", "zh"):
                for title, number in (
                    ("certificate", one.number),
                    ("batch-certificate", all_.number),
                ):
                    sealed = read_certificate(station, number)
                    content = certificate_pdf(sealed, station.key.public, language)
                    (folder / f"{title}.{language}.pdf").write_bytes(content)
                sheet = labels_pdf(station, session, machines * 4, Form.SHEET, language)
                (folder / f"label-sheet.{language}.pdf").write_bytes(sheet)
                single = labels_pdf(station, session, machines[:2], Form.SINGLE, language)
                (folder / f"label.{language}.pdf").write_bytes(single)
            (folder / "certificate.json").write_text(read_certificate(station, one.number) + "\n")
            (folder / "station.pub").write_text(station.key.public + "\n")
        station.database.close()


if __name__ == "__main__":
    write_samples(Path(sys.argv[1]))
