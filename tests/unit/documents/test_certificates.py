"""Certificates: only of what is complete and verified, and any changed byte is found."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select

from provisioner.documents import certificates, gather
from provisioner.documents.certificates import (
    issue_for_batch,
    issue_for_machine,
    read_certificate,
    verify,
)
from provisioner.documents.weights import load_weights, weight_of
from provisioner.errors import ConfigError, NotFoundError, ProofMissingError, UntrustedError
from provisioner.lifecycle import RunState, Verb
from provisioner.model.certificate import Medium, Paper, WeightBasis, WipeCertificate
from provisioner.model.signed import PrivateKey
from provisioner.store.tables import EventRow, MachineRow, RunRow
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import Station
from tests.paper_factory import BATCH, PAPER, make_pc, send_through


def issue(station: Station, tag: str = "PC-0002") -> tuple[WipeCertificate, str]:
    with station.database.transaction() as session:
        made = issue_for_machine(station, session, tag, PAPER, "test")
    return made, read_certificate(station, made.number)


def change(station: Station, tag: str, how: Callable[[dict[str, Any]], Any]) -> None:
    """Meddle with the evidence of a machine's wipe in the database."""
    with station.database.transaction() as session:
        machine = session.scalars(select(MachineRow).where(MachineRow.asset_tag == tag)).one()
        query = select(RunRow).where(RunRow.machine_id == machine.id, RunRow.verb == Verb.WIPE)
        run = session.scalars(query).one()
        evidence = json.loads(json.dumps(run.evidence))
        how(evidence)
        run.evidence = evidence


def test_a_certificate_says_what_was_measured(station: Station) -> None:
    made, sealed = issue(station)
    wipe = made.wipe
    assert (wipe.medium.manufacturer, wipe.medium.serial) == ("Samsung", "S3Z8NB0K700002")
    assert wipe.medium.apparent_bytes == wipe.medium.real_bytes == wipe.bytes_written
    assert wipe.smart_before.power_on_hours == 14_212
    assert verify(sealed.encode(), station.key.public) == made
    assert made.number == "W-000001"
    with station.database.reading() as session:
        event = session.scalars(select(EventRow).order_by(EventRow.id.desc())).first()
        assert event is not None and event.kind == "certificate-issued"
        assert event.data["sha256"] == certificates.digest_of(sealed)


def test_every_changed_byte_of_the_file_is_found(station: Station) -> None:
    """Each byte of the file, in three ways: another bit, another letter case, left out."""
    _, sealed = issue(station)
    content = sealed.encode()
    changed = 0
    for at in range(len(content)):
        for other in (content[at] ^ 1, content[at] ^ 0x20, None):
            piece = b"" if other is None else bytes([other])
            if verifies(content[:at] + piece + content[at + 1 :], station.key.public):
                raise AssertionError(f"byte {at}, {content[at]!r} to {other!r}, was not found")
            changed += 1
    assert changed == 3 * len(content)


def verifies(content: bytes, key: str) -> bool:
    try:
        verify(content, key)
    except UntrustedError:
        return False
    return True


def test_the_same_value_in_another_spelling_is_found(station: Station) -> None:
    _, sealed = issue(station)
    loose = json.dumps(json.loads(sealed), indent=1)
    padded = sealed.replace('"payloadType"', ' "payloadType"')
    doubled = json.loads(sealed)
    doubled["signatures"] *= 2
    for content in (loose, padded, json.dumps(doubled, separators=(",", ":"))):
        assert not verifies(content.encode(), station.key.public)
    assert verifies(sealed.encode() + b"\n", station.key.public)


def test_another_stations_certificate_is_not_ours(station: Station) -> None:
    made, sealed = issue(station)
    stranger = PrivateKey.generate()
    assert not verifies(stranger.seal(made).encode(), station.key.public)
    assert not verifies(sealed.encode(), stranger.public)
    for rubbish in (b"", b"{}", b"\xff\xfe", b"[" * 10_000, base64.b64encode(sealed.encode())):
        assert not verifies(rubbish, station.key.public)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda e: e.update(bytes_written=e["bytes_written"] - 512), "Only"),
        (lambda e: e.update(nonzero_blocks=1), "still held data"),
        (lambda e: e.update(kept=[]), "all the room that it claims"),
        (lambda e: e["kept"][1].update(after="0" * 64), "changed when other places"),
        (lambda e: e["samples"].pop() and e.update(samples=e["samples"][:3]), "samples were taken"),
        (lambda e: e.update(real_bytes=512), "cannot really have 512"),
        (lambda e: e.update(real_bytes=e["bytes_written"] * 2), "hidden bytes"),
        (lambda e: e.update(bytes_written=e["bytes_written"] * 10**7), "were written to a disk"),
        (lambda e: e.update(level="purge"), "A clear was ordered"),
        (lambda e: e["disk"].update(serial="OTHER"), "another disk"),
        (lambda e: e.update(surprise=1), "cannot be read"),
        (lambda e: e.clear(), "cannot be read"),
    ],
)
def test_what_is_not_proved_gets_no_certificate(
    station: Station, how: Callable[[dict[str, Any]], Any], said: str
) -> None:
    change(station, "PC-0002", how)
    with pytest.raises(ProofMissingError, match=said):
        issue(station)
    assert not (station.settings.state_dir / "certificates/W-000001.json").exists()


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.RUNNING, RunState.INTERRUPTED])
def test_a_later_wipe_that_did_not_end_well_voids_the_earlier(
    station: Station, state: RunState
) -> None:
    with station.database.transaction() as session:
        first = session.scalars(
            select(RunRow).join(MachineRow).where(
                MachineRow.asset_tag == "PC-0002", RunRow.verb == Verb.WIPE
            )
        ).one()  # fmt: skip
        session.add(
            RunRow(machine_id=first.machine_id, verb=Verb.WIPE, state=state,
                   sealed_order=first.sealed_order, evidence=first.evidence)
        )  # fmt: skip
    with pytest.raises(ProofMissingError, match=state):
        issue(station)


def test_an_order_that_is_not_ours_proves_nothing(station: Station) -> None:
    with station.database.transaction() as session:
        for run in session.scalars(select(RunRow).where(RunRow.verb == Verb.WIPE)):
            order = json.loads(run.sealed_order or "")
            payload = base64.b64decode(order["payload"])
            run.sealed_order = PrivateKey.generate().sign("order", payload)
    with pytest.raises(ProofMissingError, match="cannot be read"):
        issue(station)


def test_the_donors_certificate_names_every_disk(station: Station) -> None:
    change(station, "PC-0005", lambda e: e.update(nonzero_blocks=3))
    (station.settings.state_dir / "weights.yaml").write_text("lenovo  ThinkCentre M73: 5.1\n")
    with station.database.transaction() as session:
        made = issue_for_batch(station, session, BATCH, PAPER, "test")
    assert [wipe.asset_tag for wipe in made.wipes] == [f"PC-000{n}" for n in (1, 2, 3, 4)]
    left = {(one.asset_tag, one.serial): one.reason for one in made.not_erased}
    assert left[("PC-0004", "4C530001")] == "removable"
    assert "still held data" in left[("PC-0005", "WD-WCC2E000005")]
    bases = [machine.weight_basis for machine in made.machines]
    assert bases[0] is WeightBasis.MODEL and bases[2] is WeightBasis.LAPTOP_MEDIAN
    assert made.kilograms == pytest.approx(5.1 + 5.26 + 1.65 + 5.26 + 5.1)
    sealed = read_certificate(station, made.number)
    assert verify(sealed.encode(), station.key.public) == made


def test_a_batch_without_one_proved_disk_gets_nothing(station: Station) -> None:
    for number in range(1, 6):
        change(station, f"PC-000{number}", lambda e: e.clear())
    with (
        pytest.raises(ProofMissingError, match="No disk"),
        station.database.transaction() as session,
    ):
        issue_for_batch(station, session, BATCH, PAPER, "test")


def test_numbers_are_never_given_twice_even_after_a_rollback(station: Station) -> None:
    with pytest.raises(RuntimeError), station.database.transaction() as session:
        issue_for_machine(station, session, "PC-0001", PAPER, "test")
        raise RuntimeError
    made, _ = issue(station)
    assert made.number == "W-000002"


@pytest.mark.parametrize("number", ["W-000009", "../station.key", "", "W-1/../x", "..", "a\x00"])
def test_only_certificates_are_read(station: Station, number: str) -> None:
    with pytest.raises(NotFoundError):
        read_certificate(station, number)


def test_a_purge_is_certified_as_one(station: Station) -> None:
    parts = make_pc(8)
    with station.database.transaction() as session:
        from provisioner.store.tables import BatchRow

        batch = session.scalars(select(BatchRow)).one()
        batch.policy = {**batch.policy, "wipe_level": "purge"}
    send_through(Dialogue(station), parts)
    made, _ = issue(station, "PC-0006")
    assert made.wipe.level == "purge"
    assert made.wipe.drive is not None and made.wipe.drive.confirmed


@pytest.mark.parametrize("size", [512, 0, -1, 10**15])
def test_a_medium_of_an_impossible_size_cannot_be_written_down(size: int) -> None:
    with pytest.raises(ValidationError):
        Medium(manufacturer="", model="", serial="", wwn="", kind="hard disk", transport="sata",
               apparent_bytes=size, real_bytes=None)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"), [("a: heavy", "number"), ("a: 0", "no weight"), ("a: 900", "no weight"),
                       ("a: true", "number"), ("- a", "lines")],
)  # fmt: skip
def test_a_list_of_weights_is_checked(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "w.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_weights(tmp_path / "w.yaml")


def test_a_laptop_is_told_by_its_case() -> None:
    assert weight_of("x", "10", {}).basis is WeightBasis.LAPTOP_MEDIAN
    assert weight_of("x", "", {}).basis is WeightBasis.DESKTOP_MEDIAN


def test_makers_of_disks() -> None:
    names = ("WDC WD5000", "ST500DM002", "Samsung SSD 860", "Mystery", "CT240BX500SSD1")
    makers = [gather.manufacturer(name) for name in names]
    assert makers == ["Western Digital", "Seagate", "Samsung", "", "Crucial"]
    assert Paper().donor == ""
