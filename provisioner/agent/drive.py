"""What a drive can do and what it hides, as hdparm and nvme-cli print it.

The tools write for people; read here is only what decides something, and whatever is not found
is absent. Recorded outputs stand in tests/samples/drives; none has been seen from a real drive
yet.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.errors import CommandError
from provisioner.model.erasure import AtaSecurity, DriveFacts, WipeMethod
from provisioner.model.hardware import Disk, Transport
from provisioner.run import run

SECTOR = 512  # hdparm counts logical sectors; those of ATA disks that have an HPA are 512 bytes
TIMEOUT_S = 60
# NVM Express: bits of SANICAP, and of FNA and OACS in Identify Controller
_SANICAP = {1: WipeMethod.NVME_SANITIZE_CRYPTO, 2: WipeMethod.NVME_SANITIZE_BLOCK,
            4: WipeMethod.NVME_SANITIZE_OVERWRITE}  # fmt: skip
_FNA_CRYPTO, _OACS_FORMAT = 1 << 2, 1 << 1
_ATA_COMMANDS = {
    "CRYPTO_SCRAMBLE_EXT": WipeMethod.ATA_SANITIZE_CRYPTO,
    "BLOCK_ERASE_EXT": WipeMethod.ATA_SANITIZE_BLOCK,
    "OVERWRITE_EXT": WipeMethod.ATA_SANITIZE_OVERWRITE,
}


@dataclass(frozen=True)
class SanitizeState:
    """Where a sanitize operation stands. `done` only when the drive says: without error."""

    done: bool = False
    running: bool = False
    failed: bool = False
    frozen: bool = False
    fraction: float = 0.0


def read_facts(disk: Disk, disks: tuple[Disk, ...], dev: Path = Path("/dev")) -> DriveFacts:
    """Ask the drive. Never raises: one that does not answer has told nothing."""
    base = DriveFacts(
        transport=disk.transport, rotational=disk.rotational, size_bytes=disk.size_bytes
    )
    device = dev / disk.name
    if disk.transport in (Transport.SATA, Transport.IDE):
        return ata_facts(
            base,
            _told("hdparm", "-I", device),
            _told("hdparm", "-N", device),
            _told("hdparm", "--dco-identify", device),
            _told("hdparm", "--sanitize-status", device),
        )
    if disk.transport is Transport.NVME:
        controller = controller_of(disk.name)
        others = [one for one in disks if one.name != disk.name]
        alone = all(controller_of(one.name) != controller for one in others)
        return nvme_facts(base, _told("nvme", "id-ctrl", dev / controller, "-o", "json"), alone)
    return base


def ata_facts(
    base: DriveFacts, identify: str, maximum: str = "", dco: str = "", sanitize: str = ""
) -> DriveFacts:
    """The four answers of hdparm as facts."""
    security = parse_security(identify)
    offers = {WipeMethod.OVERWRITE, *parse_sanitize_commands(identify)}
    if security.supported:
        offers.add(WipeMethod.ATA_SECURITY_ERASE)
    if security.supported and security.enhanced:
        offers.add(WipeMethod.ATA_SECURITY_ERASE_ENHANCED)
    native, real = parse_native_sectors(maximum, base.size_bytes), parse_dco_sectors(dco)
    return base.model_copy(
        update={
            "told": "ATA device" in identify,
            "security": security,
            "offers": frozenset(offers),
            "sanitize_frozen": parse_sanitize_status(sanitize).frozen,
            "native_bytes": plausible(native, base.size_bytes),
            "real_bytes": plausible(real, base.size_bytes),
        }
    )


def nvme_facts(base: DriveFacts, controller: str, alone: bool) -> DriveFacts:
    """Identify Controller in JSON as facts."""
    told = _json(controller)
    capable, format_, optional = (_whole(told, name) for name in ("sanicap", "fna", "oacs"))
    offers = {WipeMethod.OVERWRITE}
    offers |= {method for bit, method in _SANICAP.items() if capable & bit}
    if optional & _OACS_FORMAT:
        offers.add(WipeMethod.NVME_FORMAT_USER_DATA)
        if format_ & _FNA_CRYPTO:
            offers.add(WipeMethod.NVME_FORMAT_CRYPTO)
    return base.model_copy(
        update={"told": "sanicap" in told, "offers": frozenset(offers), "alone": alone}
    )


def parse_security(identify: str) -> AtaSecurity:
    """The section “Security:” of `hdparm -I`; each line holds or is preceded by “not”."""
    _, _, section = identify.partition("\nSecurity:")
    lines = [" ".join(line.split()) for line in section.splitlines()]
    return AtaSecurity(
        supported="supported" in lines,
        enabled="enabled" in lines,
        locked="locked" in lines,
        frozen="frozen" in lines,
        expired="expired: security count" in lines,
        enhanced="supported: enhanced erase" in lines,
    )


def parse_sanitize_commands(identify: str) -> frozenset[WipeMethod]:
    """The sanitize commands that a drive has; none without the feature set."""
    if not re.search(r"^\s*\*\s+SANITIZE feature set$", identify, re.M):
        return frozenset()
    found = re.findall(r"^\s*\*\s+(\w+) command$", identify, re.M)
    return frozenset(_ATA_COMMANDS[word] for word in found if word in _ATA_COMMANDS)


def parse_native_sectors(text: str, size_bytes: int) -> int | None:
    """The second figure of `hdparm -N`: all sectors, with a host protected area.

    Newer drives have no HPA but an “accessible max address”, with the same two figures. The first
    must be what the kernel shows; drives and virtual machines that print another say nonsense.
    """
    match = re.search(r"max (?:sectors|address)\s*=\s*(\d{1,18})/(\d{1,18})", text)
    return int(match[2]) if match and int(match[1]) * SECTOR == size_bytes else None


def parse_dco_sectors(text: str) -> int | None:
    """All sectors, with those that a device configuration overlay hides.

    hdparm 9.60 to 9.65 print nonsense (0 or 1) for some drives: then nothing is known.
    """
    match = re.search(r"Real max sectors:\s*(\d{1,18})", text)
    return int(match[1]) if match and int(match[1]) > 1 else None


def parse_sanitize_status(text: str) -> SanitizeState:
    """`hdparm --sanitize-status`."""
    progress = re.search(r"Progress:\s*0x([0-9a-f]{1,4})", text, re.I)
    running = "SD2" in text
    return SanitizeState(
        done="SD0" in text and "Completed Without Error" in text,
        running=running,
        failed="SD3" in text or "SD4" in text,
        frozen="SD1" in text,
        fraction=int(progress[1], 16) / 0x10000 if progress and running else 0.0,
    )


def parse_nvme_log(text: str) -> SanitizeState:
    """`nvme sanitize-log -o json`: SSTAT's three low bits are the state, SPROG the progress."""
    told = _json(text)
    inner = next((one for one in told.values() if isinstance(one, dict)), told)
    inner = told if "sstat" in told else inner
    state = inner.get("sstat")
    if isinstance(state, dict):
        match = re.match(r"\((\d)\)", str(state.get("status", "")))
        state = int(match[1]) if match else None
    state = None if isinstance(state, bool) or not isinstance(state, int) else state & 7
    return SanitizeState(
        done=state in (1, 4),
        running=state == 2,
        failed=state == 3,
        fraction=min(_whole(inner, "sprog"), 65535) / 65536 if state == 2 else 0.0,
    )


def plausible(sectors: int | None, size_bytes: int) -> int | None:
    """A size in bytes that can be: not below what is shown, and not beyond all drives."""
    size = (sectors or 0) * SECTOR
    return size if size_bytes <= size < 2**60 else None


def controller_of(name: str) -> str:
    """`nvme0` of `nvme0n1`."""
    match = re.match(r"(nvme\d+)n\d+", name)
    return match[1] if match else name


def _told(*words: str | Path) -> str:
    try:
        done = run(words, timeout_s=TIMEOUT_S, check=False)
    except CommandError:
        return ""
    return done.stdout[:100_000] + done.stderr[:10_000]


def _json(text: str) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _whole(told: dict[str, Any], name: str) -> int:
    value = told.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
