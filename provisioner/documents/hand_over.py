"""The pack that goes with a classroom: seats, a guide, what to do when one fails, a receipt."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from provisioner.documents.labels import machines_of_batch
from provisioner.documents.pdf import make_pdf
from provisioner.documents.qr import qr_image
from provisioner.documents.texts import Texts
from provisioner.errors import WrongStateError
from provisioner.fleet.school import find_school, load_school
from provisioner.lifecycle import Milestone
from provisioner.model.hardware import Hardware
from provisioner.model.identity import is_placeholder
from provisioner.model.school import School
from provisioner.store.tables import MachineRow, now
from provisioner.templating import render
from provisioner.workshop import desk, giving
from provisioner.workshop.station import Station

READY = (Milestone.VERIFIED, Milestone.HANDED_OVER)
_PICTURES = {".png": "image/png", ".jpg": "image/jpeg"}


@dataclass(frozen=True)
class SeatedPC:
    """One line of the list: a machine and its seat."""

    tag: str
    seat: str
    hostname: str
    role: str
    model: str
    serial: str


def hand_over_pdf(station: Station, session: Session, name: str, language: str) -> bytes:
    """The pack of a batch. Raises WrongStateError while no machine of it is ready."""
    batch = desk.find_batch(session, name)
    school = load_school(find_school(station.settings.inventories_dir, batch.school))
    machines = machines_of_batch(session, name)
    ready = [machine for machine in machines if machine.milestone in READY]
    if not ready:
        raise WrongStateError(
            f"No machine of {name} is ready for the school yet.",
            "The pack lists machines that have passed every check.",
        )
    texts = Texts(language)
    settings = station.settings
    html = render(
        "documents/hand_over.html.j2", t=texts, _=texts.text, school=school.settings,
        school_id=school.id, batch=batch, machines=seated(school, ready),
        waiting=len(machines) - len(ready), lease=giving.leases(session).get(school.id),
        workshop=settings.workshop_name, contact=settings.workshop_contact,
        page=settings.public_url, qr=qr_image(settings.public_url or f"{name}"),
        wallpaper=picture(school), on=now().astimezone().date(), footer=f"{school.id} · {name}",
        said=school.settings.banner.zh if language == "zh" else school.settings.banner.en,
    )  # fmt: skip
    return make_pdf(html)


def seated(school: School, machines: Sequence[MachineRow]) -> list[SeatedPC]:
    """The machines with their seats' names; a seat that the school has no more keeps its number."""
    found = []
    for machine in machines:
        number = machine.seat or 0
        seat = school.seats[number - 1] if 1 <= number <= len(school.seats) else None
        smbios = Hardware.model_validate(machine.hardware).smbios
        found.append(
            SeatedPC(
                tag=machine.asset_tag or "", seat=seat.name if seat else str(number or "–"),
                hostname=seat.hostname if seat else "–", role=seat.role if seat else "",
                model=_told(smbios.system_vendor, smbios.system_product),
                serial=_told(smbios.system_serial),
            )
        )  # fmt: skip
    return found


def _told(*names: str) -> str:
    """What a maker wrote; “To be filled by O.E.M.” and its like are left out."""
    return " ".join(name for name in names if len(name) < 4 or not is_placeholder(name)).strip()


def picture(school: School) -> str:
    """The classroom's wallpaper as a `data:` address; empty without one."""
    name = Path(school.settings.wallpaper)
    kind = _PICTURES.get(name.suffix)
    path = school.folder / name
    if not kind or not path.is_file():
        return ""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
