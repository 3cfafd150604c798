"""Labels: the machine's tag, a QR code, and what a person wants to read on the case."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

from sqlalchemy import select
from sqlalchemy.orm import Session

from provisioner.documents.pdf import make_pdf
from provisioner.documents.qr import qr_image
from provisioner.documents.texts import Texts
from provisioner.errors import WrongStateError
from provisioner.model.hardware import Hardware
from provisioner.settings import Settings
from provisioner.store.tables import MachineRow
from provisioner.templating import render
from provisioner.workshop import desk
from provisioner.workshop.grades import grade_of
from provisioner.workshop.station import Station


class Form(StrEnum):
    """What the printer holds."""

    SHEET = "sheet"  # A4 with 3 by 7 labels of 63.5 × 38.1 mm, the commonest there is
    SINGLE = "single"  # one label of 62 × 29 mm a page, for a label printer


# What makers write around a processor's name.
_NOISE = re.compile(r"\((?:R|TM)\)|\bCPU\b|@.*|\b(?:Intel|AMD)\b")


@dataclass(frozen=True)
class Paper:
    """Measures in millimetres, `tag` in points."""

    page: str
    margin: str
    columns: int
    rows: int
    width: float
    height: float
    gap: float
    code: float
    tag: float


PAPERS = {
    Form.SHEET: Paper("A4", "15.15mm 7.2mm 0", 3, 7, 63.5, 38.1, 2.5, 24.0, 14),
    Form.SINGLE: Paper("62mm 29mm", "0", 1, 1, 62.0, 29.0, 0, 24.0, 13),
}


@dataclass(frozen=True)
class Label:
    """What stands on one label; all of it may have come from a machine, so it is only text."""

    tag: str
    qr: str
    model: str
    cpu: str
    parts: str
    place: str
    grade: str
    linked: bool


def labels_pdf(
    station: Station,
    session: Session,
    machines: Sequence[MachineRow],
    form: Form,
    language: str,
    skip: int = 0,
) -> bytes:
    """The labels of machines, in their order; the first `skip` places of a sheet stay empty.

    Raises WrongStateError when there is nothing to print or a machine has no tag yet.
    """
    found = [label_of(station.settings, session, machine) for machine in machines]
    if not found:
        raise WrongStateError("There is no machine to print a label for.")
    paper = PAPERS[form]
    room = paper.columns * paper.rows
    places = [*[None] * (skip % room if form is Form.SHEET else 0), *found]
    pages = [places[at : at + room] for at in range(0, len(places), room)]
    texts = Texts(language)
    html = render(
        "documents/labels.html.j2", t=texts, _=texts.text, paper=paper, pages=pages,
        workshop=station.settings.workshop_name,
    )  # fmt: skip
    return make_pdf(html)


def label_of(settings: Settings, session: Session, machine: MachineRow) -> Label:
    """Raises WrongStateError for a machine without a tag."""
    tag = machine.asset_tag
    if not tag:
        raise WrongStateError("A machine without a tag has no label.", "Open a batch for it first.")
    hardware = Hardware.model_validate(machine.hardware)
    seat = f" · {machine.seat}" if machine.seat else ""
    return Label(
        tag=tag,
        qr=qr_image(checklist_address(settings, tag) or tag),
        model=_short(f"{hardware.smbios.system_vendor} {hardware.smbios.system_product}"),
        cpu=_short(_NOISE.sub(" ", hardware.cpu)),
        parts=_short(_parts(hardware)),
        place=_short(f"{machine.batch.school}{seat}" if machine.batch else ""),
        grade=grade_of(session, machine).letter,
        linked=bool(settings.public_url),
    )


def checklist_address(settings: Settings, tag: str) -> str:
    """Where a phone that reads the label finds the machine; empty without `public_url`."""
    if not settings.public_url:
        return ""
    return f"{settings.public_url.rstrip('/')}/machines/{quote(tag)}/checklist"


def machines_of_batch(session: Session, name: str) -> list[MachineRow]:
    """The machines of a batch by seat. Raises NotFoundError."""
    batch = desk.find_batch(session, name)
    query = select(MachineRow).where(MachineRow.batch_id == batch.id)
    return list(session.scalars(query.order_by(MachineRow.seat)))


def _parts(hardware: Hardware) -> str:
    memory = f"{hardware.memory_mib / 1024:.0f} GiB"
    disks = " + ".join(
        f"{disk.size_bytes / 1e9:.0f} GB" for disk in hardware.disks[:3] if disk.transport != "usb"
    )
    return " · ".join(part for part in (memory, disks) if part)


def _short(text: str, limit: int = 60) -> str:
    words = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return words if len(words) <= limit else words[: limit - 1] + "…"
