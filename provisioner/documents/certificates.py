"""Issuing certificates and checking them.

A certificate is a signed envelope (DSSE) in a file of its own, written once. The PDF is a picture
of it for people and carries its digest; what can be checked is the file.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from provisioner.documents.gather import batch_machine, disk_wipe, disks_of
from provisioner.documents.weights import load_weights
from provisioner.errors import NotFoundError, ProofMissingError, UntrustedError
from provisioner.model.certificate import BatchCertificate, Paper, WipeCertificate
from provisioner.model.hardware import DiskRef
from provisioner.model.signed import Envelope, open_envelope
from provisioner.secret_file import secret_file
from provisioner.store.events import note
from provisioner.store.tables import BatchRow, CounterRow, EventRow, MachineRow, now
from provisioner.workshop import desk
from provisioner.workshop.grades import grade_of
from provisioner.workshop.station import Station

AnyCertificate = WipeCertificate | BatchCertificate
_COUNTER = "certificate"
_LARGEST = 8 * 1024 * 1024


def issue_for_machine(
    station: Station, session: Session, tag: str, paper: Paper, actor: str
) -> WipeCertificate:
    """The certificate of a machine's erased disk. Raises ProofMissingError."""
    machine = desk.find_machine(session, tag)
    if machine.target is None:
        raise ProofMissingError(f"No disk of {machine.asset_tag} was chosen.", "Enrol it first.")
    wipe = disk_wipe(station, session, machine, DiskRef.model_validate(machine.target))
    certificate = WipeCertificate(
        number=_number(station, session, "W"), issued_at=now().isoformat(timespec="seconds"),
        workshop=station.settings.workshop_name, paper=paper, wipe=wipe,
        batch=machine.batch.name if machine.batch else "",
    )  # fmt: skip
    digest = _keep(station, certificate)
    note(
        session, "certificate-issued", actor=actor, machine=machine,
        number=certificate.number, sha256=digest,
    )  # fmt: skip
    return certificate


def issue_for_batch(
    station: Station, session: Session, name: str, paper: Paper, actor: str
) -> BatchCertificate:
    """The donor's certificate: every machine, every disk, also those that were not erased."""
    batch = desk.find_batch(session, name)
    weights = load_weights(station.settings.state_dir / "weights.yaml")
    machines, wipes, left = [], [], []
    for machine in _machines(session, batch):
        machines.append(batch_machine(machine, grade_of(session, machine).letter, weights))
        erased, not_erased = disks_of(station, session, machine)
        wipes += erased
        left += not_erased
    if not wipes:
        raise ProofMissingError(
            f"No disk of {name} was erased with proof.", "A certificate needs at least one."
        )
    certificate = BatchCertificate(
        number=_number(station, session, "B"), issued_at=now().isoformat(timespec="seconds"),
        workshop=station.settings.workshop_name, batch=batch.name, school=batch.school,
        paper=paper, machines=tuple(machines), wipes=tuple(wipes), not_erased=tuple(left),
        kilograms=round(sum(machine.kilograms for machine in machines), 2),
    )  # fmt: skip
    digest = _keep(station, certificate)
    note(
        session, "certificate-issued", actor=actor, batch_id=batch.id,
        number=certificate.number, sha256=digest,
    )  # fmt: skip
    return certificate


def read_certificate(station: Station, number: str) -> str:
    """The signed file of a certificate that was issued here. Raises NotFoundError."""
    path = _folder(station) / f"{number}.json"
    if not number.replace("-", "").isalnum() or not path.is_file():
        raise NotFoundError(f"There is no certificate “{number}”.", "See the machine's journal.")
    return path.read_text(encoding="utf-8").rstrip("\n")


@dataclass(frozen=True)
class IssuedPaper:
    """A certificate that was issued, as the journal remembers it."""

    number: str
    at: datetime


def issued_for(
    session: Session, *, machine_id: int | None = None, batch_id: int | None = None
) -> list[IssuedPaper]:
    """The certificates of a machine, or the donor's certificates of a batch; the newest first."""
    query = select(EventRow).where(EventRow.kind == "certificate-issued")
    if machine_id is not None:
        query = query.where(EventRow.machine_id == machine_id)
    else:
        query = query.where(EventRow.batch_id == batch_id, EventRow.machine_id.is_(None))
    rows = session.scalars(query.order_by(EventRow.id.desc()).limit(20))
    return [IssuedPaper(str(row.data.get("number", "")), row.at) for row in rows]


def verify(content: bytes, trusted: str) -> AnyCertificate:
    """The certificate in a file, when not one byte of it was changed. Raises UntrustedError.

    Beyond the signature the file must be written exactly as we write it: base64 and JSON both
    have several spellings of the same value, and none but ours is accepted.
    """
    if len(content) > _LARGEST:
        raise UntrustedError("This file is larger than any certificate.")
    text = content.removesuffix(b"\n")
    kind: type[WipeCertificate | BatchCertificate] = (
        BatchCertificate if b".batchcertificate+json" in text else WipeCertificate
    )
    certificate, _ = open_envelope(text, kind, trusted=trusted)
    if not _as_we_write(text):
        raise UntrustedError(
            "The file was changed, though its meaning was not.", "Ask for the original file."
        )
    return certificate


def digest_of(content: str) -> str:
    """What the PDF prints of the signed file."""
    return hashlib.sha256(content.encode()).hexdigest()


def _as_we_write(text: bytes) -> bool:
    envelope = Envelope.model_validate_json(text)
    payload = base64.b64encode(base64.b64decode(envelope.payload)).decode()
    signatures = tuple(
        one.model_copy(update={"sig": base64.b64encode(base64.b64decode(one.sig)).decode()})
        for one in envelope.signatures
    )
    again = envelope.model_copy(update={"payload": payload, "signatures": signatures})
    return len(signatures) == 1 and again.model_dump_json().encode() == text


def _keep(station: Station, certificate: AnyCertificate) -> str:
    sealed = station.key.seal(certificate)
    folder = _folder(station)
    folder.mkdir(exist_ok=True, mode=0o700)
    kept = secret_file(folder / f"{certificate.number}.json", lambda: sealed)
    if kept != sealed:
        raise ProofMissingError(f"{certificate.number} exists already.", "Try again.")
    return digest_of(sealed)


def _folder(station: Station) -> Path:
    return station.settings.state_dir / "certificates"


def _machines(session: Session, batch: BatchRow) -> list[MachineRow]:
    query = select(MachineRow).where(MachineRow.batch_id == batch.id)
    return list(session.scalars(query.order_by(MachineRow.asset_tag)))


def _number(station: Station, session: Session, letter: str) -> str:
    """Numbers rise and are never given twice, not even after a change that was rolled back."""
    if session.get(CounterRow, _COUNTER) is None:
        session.add(CounterRow(name=_COUNTER, value=0))
        session.flush()
    rise = update(CounterRow).where(CounterRow.name == _COUNTER)
    rising = rise.values(value=CounterRow.value + 1).returning(CounterRow.value)
    while True:
        number = f"{letter}-{session.execute(rising).scalar_one():06d}"
        if not (_folder(station) / f"{number}.json").exists():
            return number
