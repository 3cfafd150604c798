"""What stands on paper, in both languages; English is the key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from provisioner.documents.chinese import ZH
from provisioner.documents.reasons import in_chinese
from provisioner.model.certificate import BatchMachine, WeightBasis

LANGUAGES = {"en": "en", "zh": "zh-CN"}
SMART_FIELDS = (
    ("passed", "passed"), ("hours", "power_on_hours"), ("reallocated", "reallocated"),
    ("uncorrectable", "uncorrectable"), ("pending", "pending"),
    ("offline uncorrectable", "offline_uncorrectable"), ("% used", "percentage_used"),
)  # fmt: skip
BASES = {
    WeightBasis.MODEL: "list of models",
    WeightBasis.DESKTOP_MEDIAN: "median of desktops",
    WeightBasis.LAPTOP_MEDIAN: "median of laptops",
}
_K = 1000


class Texts:
    """One reader's language, for documents. Values put into texts stay plain text."""

    smart_fields = SMART_FIELDS

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else "en"
        self.html_language = LANGUAGES[self.language]

    def text(self, english: str, **values: object) -> str:
        found = ZH.get(english, english) if self.language == "zh" else english
        return found.format(**values) if values else found

    def reason(self, reason: str) -> str:
        """Why a disk was not erased; the certificate's own words are English."""
        return in_chinese(reason) if self.language == "zh" else reason

    def size(self, count: int) -> str:
        """Bytes in the units that are printed on disks (powers of 1000)."""
        amount, step, units = float(count), 0, ("B", "kB", "MB", "GB", "TB")
        while amount >= _K and step < len(units) - 1:
            amount, step = amount / _K, step + 1
        return f"{amount:.0f} {units[step]}" if step < 2 else f"{amount:.1f} {units[step]}"

    def bytes(self, count: int) -> str:
        """A size with every digit."""
        digits = f"{count:,}".replace(",", "\u202f")
        return f"{digits} {self.text('bytes')} ({self.size(count)})"

    def share(self, share: float) -> str:
        return f"{share * 100:.2g} %"

    def moment(self, iso: str) -> str:
        """A moment by the clock on the station's wall, with its zone."""
        return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M %z")

    def told(self, value: object) -> str:
        if value is None:
            return "–"
        return self.text("yes" if value else "no") if isinstance(value, bool) else str(value)

    def basis(self, basis: WeightBasis) -> str:
        return BASES[basis]

    def bases(self, machines: Sequence[BatchMachine]) -> str:
        """How many weights come from where."""
        count = Counter(machine.weight_basis for machine in machines)
        parts = [f"{self.text(BASES[basis])}: {count[basis]}" for basis in BASES if count[basis]]
        return "; ".join(parts)
