"""How an installed disk is divided: pure arithmetic, and the text that `sfdisk` reads.

GPT: `bios` (GRUB's core image), `ESP` (loaders and kernels), `system` (releases, read-only in
service) and `state` (overlays, homes, the agent's memory). Everything starts on a whole MiB.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from provisioner.agent.gpt import GptPartition
from provisioner.errors import DiskChoiceError

MIB = 1024 * 1024
GIB = 1024 * MIB
BIOS, ESP, SYSTEM, STATE = "bios", "ESP", "system", "state"
# Type GUIDs: GRUB's BIOS boot partition; UEFI specification 5.3.3; Linux file system data
TYPE_BIOS = "21686148-6449-6e6f-744e-656564454649"
TYPE_ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
TYPE_LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"
BIOS_BYTES, ESP_BYTES = MIB, 512 * MIB
# Two releases and one half fetched; a fifth of the disk while that is more, up to a limit.
RELEASES_AT_ONCE, SPARE, SHARE, SYSTEM_MAX = 3, 512 * MIB, 5, 24 * GIB
STATE_MIN = GIB
TAIL = MIB  # the GPT's second copy


@dataclass(frozen=True)
class Slot:
    """A planned partition; `start` and `length` in logical sectors."""

    number: int
    label: str
    type_guid: str
    start: int
    length: int

    def same_place(self, found: GptPartition) -> bool:
        """Whether a partition on the disk is this one."""
        mine = (self.number, self.label, self.type_guid, self.start, self.length)
        return mine == (found.number, found.label, found.type_guid, found.start, found.length)


def plan_layout(disk_bytes: int, sector: int, image_bytes: int) -> tuple[Slot, ...]:
    """Where the four partitions go. Raises DiskChoiceError when the disk is too small."""
    end = (disk_bytes - TAIL) // MIB * MIB
    need = RELEASES_AT_ONCE * image_bytes + SPARE
    system = max(need, min(disk_bytes // SHARE, SYSTEM_MAX)) // MIB * MIB
    first = MIB
    starts = [first, first + BIOS_BYTES, first + BIOS_BYTES + ESP_BYTES]
    starts.append(starts[2] + system)
    if end - starts[3] < STATE_MIN:
        raise DiskChoiceError(
            f"The disk has {disk_bytes / 1e9:.1f} GB; this release needs at least "
            f"{(starts[2] + need + STATE_MIN + 2 * TAIL) / 1e9:.1f} GB.",
            "Put a larger disk into this machine, or choose a smaller release.",
        )
    ends = [*starts[1:], end]
    kinds = ((BIOS, TYPE_BIOS), (ESP, TYPE_ESP), (SYSTEM, TYPE_LINUX), (STATE, TYPE_LINUX))
    return tuple(
        Slot(number, label, kind, start // sector, (stop - start) // sector)
        for number, ((label, kind), start, stop) in enumerate(
            zip(kinds, starts, ends, strict=True), 1
        )
    )


def sfdisk_script(slots: tuple[Slot, ...]) -> str:
    """The table as sfdisk reads it, with GUIDs that no other machine has."""
    lines = ["label: gpt", f"label-id: {uuid.uuid4()}", "unit: sectors", ""]
    lines += [
        f"{slot.number} : start={slot.start}, size={slot.length}, type={slot.type_guid}, "
        f'uuid={uuid.uuid4()}, name="{slot.label}"'
        for slot in slots
    ]
    return "\n".join(lines) + "\n"


def matches_plan(slots: tuple[Slot, ...], found: tuple[GptPartition, ...] | None) -> bool:
    """Whether the disk is divided exactly as planned."""
    if found is None or len(found) != len(slots):
        return False
    return all(slot.same_place(part) for slot, part in zip(slots, found, strict=True))
