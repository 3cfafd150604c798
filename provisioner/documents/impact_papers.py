"""What came of what was given, as a paper and as tables for a company's report."""

from __future__ import annotations

from provisioner.documents.impact import (
    HIGH_DESKTOP,
    HIGH_LAPTOP,
    LOW_DESKTOP,
    LOW_LAPTOP,
    DonorImpact,
    Impact,
    declared_pupils,
)
from provisioner.documents.pdf import make_pdf
from provisioner.documents.tables import Cell, Sheet, csv_table, xlsx_book
from provisioner.documents.texts import Texts
from provisioner.templating import render

HEAD = ("Donor", "Machines", "Reused", "Retired", "Disks erased with proof", "kg reused",
        "Weight from the list of models", "kg recycled on receipts", "kg CO₂e, low",
        "kg CO₂e, high")  # fmt: skip
PUPILS_HEAD = ("School", "School year", "Pupils", "Declared by", "Declared on")
# What each figure is, where it comes from, and what it is not.
RULES = (
    "Reused: machines that a school has signed for, each once.",
    "Weight: the model's where this workshop keeps one, else the median of its kind in Boavizta's "
    "open dataset (217 desktops: 5.26 kg, 407 laptops: 1.65 kg).",
    "Recycled: only what a factory has weighed and signed for; machines that wait for it count as "
    "nothing.",
    "Disks: erased, read back and judged by the station; a certificate names each one.",
    "Pupils: as declared by schools, with date and name; never reckoned from machines.",
    "CO₂e: a range for three more years of use instead of a new machine. Low: 109 kg a desktop and "
    "69 kg a laptop (reuse network of Belgium, model of TU Berlin, 2005). High: 249 kg a desktop "
    "and 236 kg a laptop, the median share of manufacturing in makers' declarations (Boavizta's "
    "open dataset, February 2023). It was not measured on these machines; studies (MIT 2010, "
    "ADEME) found reuse that saved nothing, where an old machine needs much power or many new "
    "parts.",
)
_K = 1000


def impact_pdf(found: Impact, workshop: str, language: str) -> bytes:
    """The paper, with every rule and source on it."""
    texts = Texts(language)
    total = found.total
    html = render(
        "documents/impact.html.j2", t=texts, _=texts.text, found=found, total=total,
        workshop=workshop, rules=RULES, pupils=declared_pupils(found), range=tonnes,
        one=found.donors[0].donor if len(found.donors) == 1 else "",
        factors=(LOW_DESKTOP, HIGH_DESKTOP, LOW_LAPTOP, HIGH_LAPTOP), footer=str(found.on),
    )  # fmt: skip
    return make_pdf(html)


def impact_csv(found: Impact, language: str) -> str:
    """One line a donor, and the sum."""
    texts = Texts(language)
    return csv_table([texts.text(title) for title in HEAD], _rows(found, texts))


def impact_xlsx(found: Impact, language: str) -> bytes:
    """Donors, declared pupils and the rules, a sheet each."""
    texts = Texts(language)
    pupils = [
        (one.school, one.school_year, one.pupils, one.declared_by, str(one.declared_on))
        for one in found.pupils
    ]
    return xlsx_book(
        [
            Sheet(texts.text("Donors"), [texts.text(name) for name in HEAD], _rows(found, texts)),
            Sheet(texts.text("Pupils"), [texts.text(name) for name in PUPILS_HEAD], pupils),
            Sheet(
                texts.text("Rules and sources"), [texts.text("Rule")],
                [(texts.text(rule),) for rule in RULES],
            ),
        ]
    )  # fmt: skip


def tonnes(low: float, high: float) -> str:
    """A range in tonnes, as coarse as it is known."""
    digits = 1 if high < 10 * _K else 0
    return f"{low / _K:.{digits}f} – {high / _K:.{digits}f} t"


def _rows(found: Impact, texts: Texts) -> list[tuple[Cell, ...]]:
    rows = [_row(one, one.donor or texts.text("donor not noted")) for one in found.donors]
    return [*rows, _row(found.total, texts.text("in all"))]


def _row(one: DonorImpact, name: str) -> tuple[Cell, ...]:
    return (
        name, one.machines, one.reused, one.retired, one.disks_erased, one.kilograms_reused,
        one.weighed_by_model, one.kilograms_recycled, one.co2e.low, one.co2e.high,
    )  # fmt: skip
