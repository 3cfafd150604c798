"""A stick's way to the school and home: what is on it, and which receipts count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner.errors import NotFoundError, WrongStateError
from provisioner.lifecycle import Milestone
from provisioner.model.bundle import BUNDLE, FOLDER, RECEIPTS, Bundle, Receipt
from provisioner.model.read_back import ReadBack
from provisioner.model.record import Problem, Record
from provisioner.model.release import MANIFEST, Manifest
from provisioner.model.renewal import Check, RenewEvidence
from provisioner.model.side import SideEvidence
from provisioner.model.signed import PrivateKey, open_envelope
from provisioner.release.manifest import list_files, write_manifest
from provisioner.stages.renew import REQUIRED_CHECKS
from provisioner.store.tables import MachineRow
from provisioner.workshop import bundles, releases, sites
from provisioner.workshop.bundles import Outcome
from tests.factories import SCHOOL, add_machine, make_manifest, make_station, open_batch

OLD = "education@2026.1"


class Office:
    """A station with a release of real files, one machine in a school, and a stick."""

    def __init__(self, folder: Path) -> None:
        self.stick = folder / "stick"
        self.stick.mkdir()
        self.station = make_station(folder)
        release = self.station.settings.releases_dir / "education@2027.1"
        (release / "loader").mkdir(parents=True)
        for name in ("system.squashfs", "vmlinuz", "loader/grubx64.efi"):
            (release / name).write_bytes(name.encode() * 1000)
        self.manifest: Manifest = make_manifest().model_copy(
            update={"version": "2027.1", "number": 2027001, "files": list_files(release)}
        )
        write_manifest(release, self.manifest, self.station.key)
        self.release = release
        open_batch(self.station)
        self.key = PrivateKey.generate()
        with self.station.database.transaction() as session:
            add_machine(session, 1, Milestone.HANDED_OVER).installed_key = self.key.public

    @property
    def folder(self) -> Path:
        return self.stick / FOLDER

    def export(self) -> Bundle:
        with self.station.database.transaction() as session:
            return bundles.export(self.station, session, SCHOOL, "education", self.stick, "test")

    def answer(self, bundle: Bundle, key: PrivateKey | None = None, **changes: Any) -> None:
        """The machine's receipt on the stick."""
        record = Record(order="1" * 32, evidence=proved(bundle, self.manifest), seconds=9.0)
        values: dict[str, Any] = {
            "school": bundle.school, "number": bundle.number, "machine": "PC-0001",
            "record": record,
        }  # fmt: skip
        receipt = Receipt(**{**values, **changes})
        place = self.folder / RECEIPTS / "PC-0001.dsse.json"
        place.write_text((key or self.key).seal(receipt))

    def take_in(self) -> list[Outcome]:
        with self.station.database.transaction() as session:
            return bundles.take_in(self.station, session, self.stick, "test")

    def has(self) -> str:
        with self.station.database.reading() as session:
            return session.query(MachineRow).filter_by(asset_tag="PC-0001").one().release


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    monkeypatch.setattr(sites, "has_site", lambda _machine: False)
    made = Office(tmp_path)
    yield made
    made.station.database.close()


def proved(bundle: Bundle, manifest: Manifest) -> RenewEvidence:
    side = SideEvidence(
        release=bundle.release, manifest_sha256=bundle.manifest_sha256, direct_io=True,
        read_back=tuple(ReadBack(path=f.path, size=f.size, sha256=f.sha256)
                        for f in manifest.files),
        bytes_kept=0, bytes_copied=0, bytes_from_station=1, bytes_from_peers=0, patch_bytes=0,
        damaged_pieces=0,
    )  # fmt: skip
    return RenewEvidence(
        old=OLD,
        side=side,
        running=bundle.release,
        starts_next=bundle.release,
        manifest_sha256=bundle.manifest_sha256,
        checks=tuple(Check(id=name, passed=True) for name in sorted(REQUIRED_CHECKS)),
    )


def test_a_stick_holds_the_release_and_a_signed_wish(office: Office) -> None:
    made = office.export()
    bundle, _ = open_envelope(
        (office.folder / BUNDLE).read_bytes(), Bundle, trusted=office.station.key.public
    )
    assert bundle == made
    assert bundle.machines == ("PC-0001",)
    for entry in [*(file.path for file in office.manifest.files), MANIFEST]:
        copied = office.folder / "releases" / office.manifest.id / entry
        assert copied.read_bytes() == (office.release / entry).read_bytes()


def test_each_stick_has_a_higher_number_and_keeps_what_is_right(office: Office) -> None:
    assert office.export().number == 1
    copied = office.folder / "releases" / office.manifest.id / "vmlinuz"
    before = copied.stat().st_ino
    copied.with_name("system.squashfs").write_bytes(b"damaged")
    assert office.export().number == 2
    assert copied.stat().st_ino == before
    assert copied.with_name("system.squashfs").read_bytes() != b"damaged"


def test_a_receipt_that_holds_counts_once(office: Office) -> None:
    office.answer(office.export())
    assert [outcome.said for outcome in office.take_in()] == [f"has {office.manifest.id}"]
    assert office.has() == office.manifest.id
    assert [outcome.said for outcome in office.take_in()] == ["was known already"]


def test_a_failure_comes_home_with_its_reason(office: Office) -> None:
    problem = Problem(kind="NewSystemSilentError", message="never came up")
    office.answer(office.export(), record=Record(order="2" * 32, problem=problem, seconds=1.0))
    outcome = office.take_in()[0]
    assert "never came up" in outcome.said
    assert not outcome.well
    assert office.has() == OLD


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"key": PrivateKey.generate()}, "not signed by that machine"),
        ({"machine": "PC-0002"}, "not signed by that machine"),
        ({"number": 7}, "not of this station"),
        ({"school": "high-pasture"}, "not of this station"),
    ],
)
def test_a_receipt_that_does_not_count(office: Office, changes: dict[str, Any], said: str) -> None:
    office.answer(office.export(), **changes)
    assert said in office.take_in()[0].said
    assert office.has() == OLD


def test_a_receipt_that_claims_too_much_does_not_count(office: Office) -> None:
    bundle = office.export()
    evidence = proved(bundle, office.manifest).model_copy(update={"running": OLD})
    office.answer(bundle, record=Record(order="3" * 32, evidence=evidence, seconds=1.0))
    assert f"{OLD} runs" in office.take_in()[0].said
    assert office.has() == OLD


def test_a_receipt_that_was_changed_does_not_count(office: Office) -> None:
    office.answer(office.export())
    place = office.folder / RECEIPTS / "PC-0001.dsse.json"
    envelope = json.loads(place.read_text())
    envelope["payload"] = envelope["payload"][:-8] + "AAAAAAA="
    place.write_text(json.dumps(envelope))
    assert "changed" in office.take_in()[0].said
    assert office.has() == OLD


def test_a_stick_that_has_no_receipts(office: Office) -> None:
    with pytest.raises(NotFoundError, match="receipts"):
        office.take_in()


def test_a_withdrawn_release_goes_on_no_stick(office: Office) -> None:
    with office.station.database.transaction() as session:
        releases.say(office.station, session, office.manifest.id, releases.Standing.WITHDRAWN,
                     "no sound on Dell", "mei")  # fmt: skip
    with pytest.raises(WrongStateError, match="no sound on Dell"):
        office.export()
    assert not (office.folder / BUNDLE).exists()
