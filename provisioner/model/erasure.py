"""How a disk may be erased: what it can do, what is demanded, and what follows. Pure.

NIST SP 800-88 r2 (September 2025; r1 is withdrawn) names three levels and leaves the technique of
each medium to IEEE 2883. *Clear* protects against reading through the disk's ordinary interface:
overwriting every addressable block is one on every medium. *Purge* protects against the laboratory,
too, and reaches what the interface does not: spare, worn-out and hidden blocks.

This house takes for a purge only what the *sanitize* commands of ATA and NVMe do, whose end the
drive itself keeps as a state that can be asked for, also after a power cut. ATA SECURITY ERASE
UNIT and NVMe Format with a secure erase setting tell nothing afterwards and count as a clear
(stricter than r1's tables were). A discard (TRIM) only promises to hide, and counts as nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

from provisioner.model.base import Model
from provisioner.model.hardware import Transport


class WipeLevel(StrEnum):
    """What a wipe protects against; SP 800-88's words."""

    CLEAR = "clear"
    PURGE = "purge"


class WipeMethod(StrEnum):
    """How a disk is erased. Whatever the drive does itself is followed by our own zeros."""

    OVERWRITE = "overwrite"  # zeros over every addressable block, then read back
    ATA_SANITIZE_CRYPTO = "ata-sanitize-crypto-scramble"
    ATA_SANITIZE_BLOCK = "ata-sanitize-block-erase"
    ATA_SANITIZE_OVERWRITE = "ata-sanitize-overwrite"
    ATA_SECURITY_ERASE = "ata-security-erase"
    ATA_SECURITY_ERASE_ENHANCED = "ata-security-erase-enhanced"
    NVME_SANITIZE_CRYPTO = "nvme-sanitize-crypto-erase"
    NVME_SANITIZE_BLOCK = "nvme-sanitize-block-erase"
    NVME_SANITIZE_OVERWRITE = "nvme-sanitize-overwrite"
    NVME_FORMAT_USER_DATA = "nvme-format-user-data-erase"  # secure erase setting 1
    NVME_FORMAT_CRYPTO = "nvme-format-crypto-erase"  # secure erase setting 2

    @property
    def level(self) -> WipeLevel:
        return WipeLevel.PURGE if "-sanitize-" in self else WipeLevel.CLEAR


class AtaSecurity(Model):
    """The security feature set, as IDENTIFY DEVICE word 128 tells it."""

    supported: bool = False
    enabled: bool = False
    locked: bool = False
    frozen: bool = False
    expired: bool = False
    enhanced: bool = False


class DriveFacts(Model):
    """What a drive says that it can do. What was not told is absent, never assumed."""

    transport: Transport
    rotational: bool
    size_bytes: int = Field(gt=0, description="what the interface shows now")
    told: bool = Field(False, description="whether the drive answered the questions at all")
    security: AtaSecurity = AtaSecurity()
    offers: frozenset[WipeMethod] = frozenset({WipeMethod.OVERWRITE})
    sanitize_frozen: bool = False
    native_bytes: int | None = Field(None, description="with what a host protected area hides")
    real_bytes: int | None = Field(None, description="with what a configuration overlay hides")
    alone: bool = Field(True, description="no other disk hangs on the same controller (NVMe)")

    @property
    def largest_bytes(self) -> int:
        """The largest size that anything has told."""
        return max(self.size_bytes, self.native_bytes or 0, self.real_bytes or 0)

    @property
    def hidden_bytes(self) -> int:
        return self.largest_bytes - self.size_bytes


@dataclass(frozen=True)
class Refusal:
    """Why a disk cannot be erased as demanded, and what a volunteer does."""

    reason: str
    hint: str
    frozen: bool = False  # a moment without power would help


# The quickest that is sound comes first. For a rotating disk nothing but writing helps.
_PURGES = (
    WipeMethod.NVME_SANITIZE_CRYPTO, WipeMethod.NVME_SANITIZE_BLOCK,
    WipeMethod.NVME_SANITIZE_OVERWRITE, WipeMethod.ATA_SANITIZE_BLOCK,
    WipeMethod.ATA_SANITIZE_CRYPTO, WipeMethod.ATA_SANITIZE_OVERWRITE,
)  # fmt: skip
_SECURITY = (WipeMethod.ATA_SECURITY_ERASE, WipeMethod.ATA_SECURITY_ERASE_ENHANCED)
_MEND_FROZEN = (
    "Let the machine sleep for a moment (its page on the dashboard offers it), or pull the disk's "
    "power for a moment while it runs and press “try again”."
)


def choose_method(
    facts: DriveFacts, demanded: WipeLevel, wanted: WipeMethod | None = None
) -> WipeMethod | Refusal:
    """The method for one disk, or why there is none.

    A purge that cannot be had is refused, never delivered as a clear. `wanted` is a batch's own
    choice; it must be offered by the disk and reach the demanded level.
    """
    refusal = _closed(facts)
    if refusal is not None:
        return refusal
    if wanted is not None and wanted is not WipeMethod.OVERWRITE:
        return _wanted(facts, demanded, wanted)
    if demanded is WipeLevel.CLEAR:
        return WipeMethod.OVERWRITE
    return _purge(facts)


def _closed(facts: DriveFacts) -> Refusal | None:
    """What stands in the way of any method."""
    if facts.security.locked:
        return Refusal(
            "The disk is locked with an ATA password: it answers no reading and no writing.",
            "Ask the donor for the password, or take the disk out to be destroyed.",
        )
    if facts.hidden_bytes:
        return Refusal(
            f"The disk hides {facts.hidden_bytes} of its {facts.largest_bytes} bytes (host "
            "protected area or configuration overlay): what is there would not be erased.",
            "Have the hidden area removed by a technician (hdparm -N, --dco-restore), then "
            "press “try again”.",
        )
    return None


def _purge(facts: DriveFacts) -> WipeMethod | Refusal:
    if not facts.told:
        return Refusal(
            "A purge is demanded, and the disk does not tell what it can do.",
            "Take the disk out to be destroyed, or open a batch that demands a clear.",
        )
    found = next((method for method in _PURGES if method in facts.offers), None)
    if found is None:
        return Refusal(
            "A purge is demanded, and this disk has no sanitize command.",
            "Take the disk out to be destroyed, or open a batch that demands a clear.",
        )
    return _obstacle(facts, found) or found


def _wanted(facts: DriveFacts, demanded: WipeLevel, wanted: WipeMethod) -> WipeMethod | Refusal:
    if demanded is WipeLevel.PURGE and wanted.level is not WipeLevel.PURGE:
        return Refusal(
            f"A purge is demanded, and “{wanted}” is only a clear.",
            "Change the batch: demand a clear, or let the method be chosen.",
        )
    if wanted not in facts.offers:
        return Refusal(
            f"The disk does not offer “{wanted}”.",
            "Let the method be chosen by the medium, or use another disk.",
        )
    return _obstacle(facts, wanted) or wanted


def _obstacle(facts: DriveFacts, method: WipeMethod) -> Refusal | None:
    """What stands in the way of this method only."""
    if method in _SECURITY and facts.security.frozen:
        return Refusal("The firmware has frozen the disk's security commands.", _MEND_FROZEN, True)
    if method in _SECURITY and facts.security.expired:
        return Refusal(
            "The disk's counter of password attempts has run out.",
            "Switch the machine off and on again, then press “try again”.",
        )
    if method in _SECURITY and facts.security.enabled:
        return Refusal(
            "The disk already has an ATA password that we do not know.",
            "Ask the donor for the password, or take the disk out to be destroyed.",
        )
    if method.startswith("ata-sanitize-") and facts.sanitize_frozen:
        return Refusal("The firmware has frozen the disk's sanitize commands.", _MEND_FROZEN, True)
    if method.startswith("nvme-") and not facts.alone:
        return Refusal(
            "The drive holds more than one disk (namespace), and this would erase all of them.",
            "A technician must look at this drive.",
        )
    return None


def undetected_share(samples: int, left_over_share: float) -> float:
    """Probability that `samples` random blocks all miss data left on a share of the disk."""
    return float((1.0 - left_over_share) ** samples)


def found_share(samples: int, confidence: float = 0.95) -> float:
    """The smallest share of a disk that, left over, `samples` blocks find with `confidence`."""
    return float(1.0 - (1.0 - confidence) ** (1.0 / max(samples, 1)))
