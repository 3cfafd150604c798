"""What the real hdparm and nvme-cli send to a drive when ours tells them to erase it.

`tests/samples/drives/answers.c` stands in the place of the kernel's answer: it notes each command
and answers with bytes made from the standards. What is expected here was written from ACS-4
(SANITIZE DEVICE B4h, SECURITY SET PASSWORD F1h, ERASE PREPARE F3h, ERASE UNIT F4h), SAT-4 (ATA
PASS-THROUGH (16)) and NVM Express 1.4 (Sanitize 84h, Format NVM 80h). *Not yet seen on a drive.*
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from provisioner.agent import drive_erase
from provisioner.agent.drive import read_facts
from provisioner.agent.drive_erase import Erased, erase_by_drive
from provisioner.errors import DiskFaultError
from provisioner.model.erasure import WipeMethod as M
from provisioner.model.hardware import Transport
from provisioner.run import run
from tests.samples.drives import record
from tests.unit.agent.conftest import make_disk

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a loop device"),
]
SOURCE = Path(record.__file__).with_name("answers.c")
STANDING = record.registers(0x7FFF, 0x4000)  # SD2: a sanitize operation is in progress
DONE = record.registers(0xFFFF, 0x8000)  # SD0, completed without error
FAILED = record.registers(0xFFFF, 0x1000)
IDENTIFY, STATUS, LOG = "ec", "b4.regs", "log-81"  # files of answers
QUESTIONS = {"ata": (0xEC, 0x2F), "nvme": (0x06,)}  # IDENTIFY DEVICE, READ LOG EXT; Identify
LBA_BYTES = (11, 9, 7, 12, 10, 8)  # of the CDB, the highest byte of the LBA first


@dataclass
class Drive:
    """A drive that is not there: a loop device for the tools to open, and a folder of answers."""

    path: Path
    folder: Path

    def answer(self, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            fresh = self.folder / f".{name}"
            fresh.write_bytes(content)
            fresh.rename(self.folder / name)

    @property
    def sent(self) -> list[tuple[bytes, bytes]]:
        """Commands and the beginning of their data, without the questions who it is."""
        found = []
        for line in (self.folder / "sent").read_text().splitlines():
            kind, command, data = (line + " ").split(" ")[:3]
            raw = bytes.fromhex(command)
            if (raw[14] if kind == "ata" else raw[0]) not in QUESTIONS[kind]:
                found.append((raw, bytes.fromhex(data)))
        return found


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("answers") / "answers.so"
    run(["gcc", "-shared", "-fPIC", "-o", out, SOURCE, "-ldl"], timeout_s=120)
    return out


@pytest.fixture
def drive(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drive]:
    (tmp_path / "file").write_bytes(bytes(2**20))
    words: list[str | Path] = ["losetup", "--show", "--find", tmp_path / "file"]
    loop = Path(run(words, timeout_s=20).stdout.strip())
    folder = tmp_path / "drive"
    folder.mkdir()
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("DRIVE", str(folder))
    monkeypatch.setattr(drive_erase, "POLL_S", 0.1)
    made = Drive(loop, folder)
    sanitize = record.CRYPTO | record.BLOCK
    made.answer(
        {
            IDENTIFY: record.identify(record.SUPPORTED | record.ENHANCED, sanitize, 1),
            STATUS: DONE,
            "identify-1": record.controller(0b111, 0b100),
            "identify-0": bytes(4096),
            LOG: record.sanitize_log(65535, 0x101),
        }
    )
    yield made
    monkeypatch.delenv("LD_PRELOAD")
    run(["losetup", "--detach", loop], timeout_s=20)


def erase(drive: Drive, method: M, seen: list[int] | None = None) -> Erased:
    seen = [] if seen is None else seen
    return erase_by_drive(drive.path, method, lambda done, _: seen.append(done))


def lba(command: bytes) -> int:
    return int.from_bytes(bytes(command[at] for at in LBA_BYTES), "big")


@pytest.mark.parametrize(
    ("method", "feature", "key", "mask"),
    [
        (M.ATA_SANITIZE_CRYPTO, 0x0011, 0x43727970, 0xFFFFFFFF),  # “Cryp”
        (M.ATA_SANITIZE_BLOCK, 0x0012, 0x426B4572, 0xFFFFFFFF),  # “BkEr”
        (M.ATA_SANITIZE_OVERWRITE, 0x0014, 0x4F57 << 32, 0xFFFF << 32 | 0xFFFFFFFF),  # “OW”, zeros
    ],
)
def test_sanitize_carries_its_feature_and_its_key(
    drive: Drive, method: M, feature: int, key: int, mask: int
) -> None:
    erased = erase(drive, method)
    command, _ = drive.sent[0]
    assert (command[0], command[14]) == (0x85, 0xB4)
    assert command[3] << 8 | command[4] == feature
    assert lba(command) & mask == key
    assert erased.confirmed
    assert [(c[14], c[4]) for c, _ in drive.sent[1:]] == [(0xB4, 0x00)]  # SANITIZE STATUS EXT


@pytest.mark.parametrize(
    ("method", "enhanced"), [(M.ATA_SECURITY_ERASE, 0), (M.ATA_SECURITY_ERASE_ENHANCED, 1)]
)
def test_a_security_erase_sets_a_password_prepares_and_erases(
    drive: Drive, method: M, enhanced: int
) -> None:
    erased = erase(drive, method)
    assert [command[14] for command, _ in drive.sent] == [0xF1, 0xF3, 0xF4]
    password = drive_erase.KNOWN_PASSWORD.encode().ljust(32, b"\0")
    (_, told), (_, _), (_, unit) = drive.sent
    assert told[:2] == bytes(2)  # word 0: the user password, high security
    assert told[2:34] == unit[2:34] == password
    assert unit[0] == enhanced << 1  # word 0, bit 1: enhanced
    assert not erased.confirmed  # nothing in the drive's answer says so; the read-back must
    assert drive_erase.KNOWN_PASSWORD not in erased.command


def test_a_password_that_stays_is_no_success(drive: Drive) -> None:
    locked = record.SUPPORTED | record.ENABLED | record.LOCKED
    drive.answer({IDENTIFY: record.identify(locked)})
    with pytest.raises(DiskFaultError, match="kept the password"):
        erase(drive, M.ATA_SECURITY_ERASE)


@pytest.mark.parametrize(
    ("method", "action"),
    [(M.NVME_SANITIZE_BLOCK, 2), (M.NVME_SANITIZE_OVERWRITE, 3), (M.NVME_SANITIZE_CRYPTO, 4)],
)
def test_an_nvme_sanitize_and_its_log(drive: Drive, method: M, action: int) -> None:
    erased = erase(drive, method)
    (command, _), *rest = drive.sent
    assert command[0] == 0x84
    assert command[40] & 0b111 == action  # CDW10: SANACT
    assert not command[40] & 0b1000  # AUSE: after a failure the drive must stay closed
    assert [raw[0] for raw, _ in rest] == [0x02] and rest[0][0][40] == 0x81  # Get Log Page, 81h
    assert erased.confirmed


@pytest.mark.parametrize(
    ("method", "setting"), [(M.NVME_FORMAT_USER_DATA, 1), (M.NVME_FORMAT_CRYPTO, 2)]
)
def test_an_nvme_format_has_a_secure_erase_setting(drive: Drive, method: M, setting: int) -> None:
    erased = erase(drive, method)
    ((command, _),) = drive.sent
    assert command[0] == 0x80
    assert int.from_bytes(command[40:44], "little") >> 9 & 0b111 == setting  # CDW10: SES
    assert not erased.confirmed


def test_the_end_is_waited_for_and_asked_of_the_drive(drive: Drive) -> None:
    """A command that came back has only begun; progress is the drive's own figure."""
    seen: list[int] = []
    drive.answer({STATUS: STANDING})
    threading.Timer(1.5, lambda: drive.answer({STATUS: DONE})).start()
    began = time.monotonic()
    assert erase(drive, M.ATA_SANITIZE_BLOCK, seen).confirmed
    assert time.monotonic() - began > 1.0
    assert set(seen) == {0x7FFF}
    seen.clear()
    drive.answer({LOG: record.sanitize_log(16384, 2)})
    threading.Timer(1.5, lambda: drive.answer({LOG: record.sanitize_log(65535, 1)})).start()
    assert erase(drive, M.NVME_SANITIZE_BLOCK, seen).confirmed
    assert set(seen) == {16384}


def test_a_failed_sanitize_is_no_success(drive: Drive) -> None:
    drive.answer({LOG: record.sanitize_log(65535, 3)})
    with pytest.raises(DiskFaultError, match="failed"):
        erase(drive, M.NVME_SANITIZE_BLOCK)
    drive.answer({STATUS: FAILED})
    assert not erase(drive, M.ATA_SANITIZE_BLOCK).confirmed


def test_the_whole_question_to_a_drive(drive: Drive) -> None:
    """`read_facts` as the agent calls it, with the tools themselves between."""
    disk = make_disk(name=drive.path.name, size=record.SECTORS * 512, transport=Transport.SATA)
    native = record.registers(record.SECTORS - 1)
    drive.answer({"27.regs": native, "b1": record.dco(record.SECTORS)})
    facts = read_facts(disk, (disk,))
    assert facts.told and facts.hidden_bytes == 0
    assert facts.native_bytes == facts.real_bytes == record.SECTORS * 512
    assert facts.offers >= {M.ATA_SANITIZE_BLOCK, M.ATA_SANITIZE_CRYPTO}
    drive.answer({"b1": record.dco(record.SECTORS + 2048)})
    assert read_facts(disk, (disk,)).hidden_bytes == 2048 * 512
