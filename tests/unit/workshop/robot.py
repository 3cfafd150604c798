"""A machine that speaks the real protocol, without being one: for tests of the station's side.

It signs with a real key and sends real envelopes; what it claims about its disk is up to the
test.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any

from provisioner.model.hardware import Disk, Firmware, Hardware, Nic, Smbios, Transport
from provisioner.model.order import DiagnoseWork, ImageWork, Order, RestartWork, WipeWork
from provisioner.model.record import (
    CheckOutcome,
    DiagnoseEvidence,
    ImageEvidence,
    MachineEvidence,
    PartCheck,
    Partition,
    Problem,
    ReadBack,
    Record,
    RestartEvidence,
    Sample,
    WipeEvidence,
)
from provisioner.model.release import Manifest
from provisioner.model.signed import PrivateKey, open_envelope
from provisioner.model.wire import (
    BootFacts,
    PollRequest,
    Progress,
    RecordRequest,
    RegisterRequest,
    Reply,
    Surroundings,
)
from provisioner.stages.diagnose import REQUIRED_CHECKS
from provisioner.stages.image import PARTITION_LABELS, BiosLoader, expected_parts
from provisioner.workshop.dialogue import Dialogue

BLOCK = 4096
FILE_SYSTEMS = {"bios": "", "ESP": "AB12-CD34", "system": "uuid-1", "state": "uuid-2"}


def hardware(number: int = 1, **changes: Any) -> Hardware:
    """A plain office PC; `number` makes its identifiers its own."""
    values: dict[str, Any] = {
        "smbios": Smbios(
            uuid=f"4c4c4544-0042-3510-8051-b7c04f56{number:04x}",
            system_vendor="Example",
            system_product="Desk 7",
            system_serial=f"CZC{number:06d}",
        ),
        "firmware": Firmware.BIOS,
        "memory_mib": 2048,
        "cpu_threads": 2,
        "disks": (disk(f"WD-{number:05d}"),),
        "nics": (Nic(name="eth0", mac=f"02:00:00:00:00:{number:02x}"),),
    }
    return Hardware(**{**values, **changes})


def disk(serial: str, **changes: Any) -> Disk:
    values: dict[str, Any] = {
        "name": "sda", "serial": serial, "model": "Example disk", "size_bytes": 16 * 10**9,
        "logical_sector_bytes": 512, "physical_sector_bytes": 4096,
        "transport": Transport.SATA, "removable": False, "rotational": True,
    }  # fmt: skip
    return Disk(**{**values, **changes})


class Robot:
    """One start of one machine."""

    def __init__(
        self,
        dialogue: Dialogue,
        parts: Hardware,
        *,
        key: PrivateKey | None = None,
        surroundings: Surroundings = Surroundings.LIVE,
        release: str = "",
    ) -> None:
        self.dialogue, self.hardware = dialogue, parts
        self.key = key or PrivateKey.generate()
        self.installed_key = PrivateKey.generate()
        self.surroundings, self.release = surroundings, release
        self.counter = 100

    def register(self) -> Reply:
        request = RegisterRequest(
            counter=self.count(),
            hardware=self.hardware,
            boot=BootFacts(surroundings=self.surroundings, release=self.release),
        )
        return self.read(self.dialogue.register(self.key.seal(request).encode(), "10.77.0.9"))

    def poll(self, progress: Progress | None = None) -> Reply:
        request = PollRequest(counter=self.count(), progress=progress)
        return self.read(self.dialogue.poll(self.key.seal(request).encode(), "10.77.0.9"))

    def order(self) -> Order | None:
        """The order in answer to a poll, if there is one."""
        sealed = self.poll().order
        return open_envelope(sealed, Order, trusted=None)[0] if sealed else None

    def send(
        self, order: Order, evidence: MachineEvidence | None = None, problem: Problem | None = None
    ) -> Reply:
        record = Record(order=order.id, evidence=evidence, problem=problem, seconds=1.0)
        request = RecordRequest(counter=self.count(), record=record)
        return self.read(self.dialogue.record(self.key.seal(request).encode(), "10.77.0.9"))

    def work_until_imaged(self, manifest: Manifest) -> list[str]:
        """Carry out every order honestly; the verbs that were ordered."""
        verbs: list[str] = []
        while (order := self.order()) is not None and len(verbs) < 9:
            verbs.append(order.work.verb)
            self.send(order, honest(order, manifest, self.installed_key.public))
            if order.work.verb == "restart":
                break
        return verbs

    def count(self) -> int:
        self.counter += 1
        return self.counter

    def read(self, sealed: str) -> Reply:
        reply, _ = open_envelope(sealed, Reply, trusted=None)
        assert (reply.to_key, reply.counter) == (self.key.public, self.counter)
        return reply


def honest(order: Order, manifest: Manifest, installed_key: str) -> MachineEvidence:
    """The evidence that a machine without a fault would send."""
    work = order.work
    if isinstance(work, DiagnoseWork):
        return DiagnoseEvidence(
            checks=tuple(
                PartCheck(id=name, outcome=CheckOutcome.PASS) for name in sorted(REQUIRED_CHECKS)
            )
        )
    if isinstance(work, WipeWork):
        return wiped(work)
    if isinstance(work, ImageWork):
        return imaged(work, manifest, installed_key)
    assert isinstance(work, RestartWork)
    return RestartEvidence()


def fake_boot_img() -> bytes:
    """512 bytes with the marks by which GRUB's boot.img is recognised."""
    image = bytearray(512)
    struct.pack_into("<Q", image, 0x5C, 1)
    image[0x66:0x68] = b"\xeb\x05"
    image[-2:] = b"\x55\xaa"
    return bytes(image)


def fake_core_img() -> bytes:
    """Three sectors whose first says where the other two are to be loaded."""
    image = bytearray(3 * 512)
    struct.pack_into("<QHH", image, 512 - 12, 1, 2, 0x820)
    return bytes(image)


def wiped(work: WipeWork, **changes: Any) -> WipeEvidence:
    blank = hashlib.sha256(bytes(BLOCK)).hexdigest()
    values: dict[str, Any] = {
        "disk": work.disk, "method": work.method, "tool": "robot",
        "bytes_written": work.disk.size_bytes, "bytes_read_back": work.samples * BLOCK,
        "sample_bytes": BLOCK, "nonzero_blocks": 0, "full": False,
        "samples": tuple(
            Sample(offset=n * BLOCK, before="1" * 64, after=blank) for n in range(work.samples)
        ),
        "kept": tuple(
            Sample(offset=at, before="1" * 64, after="1" * 64)
            for at in (0, work.disk.size_bytes - BLOCK)
        ),
    }  # fmt: skip
    return WipeEvidence(**{**values, **changes})


def imaged(
    work: ImageWork, manifest: Manifest, installed_key: str, **changes: Any
) -> ImageEvidence:
    back = [ReadBack(path=f.path, size=f.size, sha256=f.sha256) for f in manifest.files]
    values: dict[str, Any] = {
        "disk": work.disk, "release": work.release, "manifest_sha256": work.manifest_sha256,
        "partitions": tuple(
            Partition(
                number=n, label=label, type_guid="t", guid="g",
                start_sector=2048 * n, sectors=2048, filesystem_uuid=FILE_SYSTEMS[label],
            )
            for n, label in enumerate(PARTITION_LABELS, 1)
        ),
        "read_back": tuple(back), "direct_io": True, "bytes_fetched": 1,
        "ssh_host_keys": ("ssh-ed25519 AAAA",), "installed_key": installed_key,
    }  # fmt: skip
    loader = BiosLoader(fake_boot_img(), fake_core_img())
    made = expected_parts(ImageEvidence(**values), work, loader)
    values["read_back"] += tuple(
        ReadBack(path=path, size=size, sha256=sha256) for path, (size, sha256) in made.items()
    )
    return ImageEvidence(**{**values, **changes})
