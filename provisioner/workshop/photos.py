"""A photo of the maker's label: what no firmware tells, kept small and without its origin."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError
from sqlalchemy.orm import Session

from provisioner.errors import WrongStateError
from provisioner.store.events import note
from provisioner.store.tables import MachineRow
from provisioner.workshop import desk
from provisioner.workshop.station import Station

# The longest side of what is kept, in pixels: a serial number of 2 mm stays readable.
LONGEST = 1600
# What is unpacked at most: a small file can claim to be a huge picture.
MOST_PIXELS = 60_000_000
_QUALITY = 82


def keep_photo(station: Station, session: Session, tag: str, content: bytes, actor: str) -> None:
    """Keep a photo of a machine's label; a newer one takes its place.

    It is drawn anew, so that neither the place where it was taken nor anything hidden in the
    file is kept. Raises WrongStateError for what is no picture.
    """
    machine = desk.find_machine(session, tag)
    path = _path(station, machine)
    path.parent.mkdir(exist_ok=True, mode=0o700)
    aside = path.with_suffix(".new")
    aside.write_bytes(redrawn(content))
    aside.replace(path)
    note(session, "photo-taken", actor=actor, machine=machine)


def photo_of(station: Station, machine: MachineRow) -> Path | None:
    path = _path(station, machine)
    return path if path.is_file() else None


def redrawn(content: bytes) -> bytes:
    """The picture as a JPEG of our own. Raises WrongStateError."""
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP")) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise WrongStateError("This picture is too large.", "Take it with fewer pixels.")
            upright = ImageOps.exif_transpose(picture).convert("RGB")
            upright.thumbnail((LONGEST, LONGEST))
            out = io.BytesIO()
            upright.save(out, "JPEG", quality=_QUALITY)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise WrongStateError("This is no photo.", "JPEG, PNG and WebP can be read.") from error
    return out.getvalue()


def _path(station: Station, machine: MachineRow) -> Path:
    return station.settings.state_dir / "photos" / f"{machine.id}.jpg"
