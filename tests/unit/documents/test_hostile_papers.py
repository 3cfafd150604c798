"""One machine and one donor whose every text is an attack, on everything that is printed or sent
to a spreadsheet: certificate, label, hand-over pack, impact, the table of disks, the journal."""

from __future__ import annotations

import csv
import io

import pytest

from provisioner.documents.certificates import issue_for_batch, issue_for_machine
from provisioner.documents.disks_csv import disks_csv
from provisioner.documents.hand_over import hand_over_pdf
from provisioner.documents.impact import impact
from provisioner.documents.impact_papers import impact_csv, impact_pdf, impact_xlsx
from provisioner.documents.labels import Form, labels_pdf, machines_of_batch
from provisioner.documents.papers import certificate_html
from provisioner.documents.tables import csv_table
from provisioner.lifecycle import Milestone
from provisioner.model.hardware import Smbios
from provisioner.store.tables import now
from provisioner.workshop import giving
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import Station
from tests.factories import make_disk
from tests.paper_factory import BATCH, PAPER, make_pc, send_through

EVIL = '=cmd|"/c calc"!A1<script>alert(1)</script>{{7*7}}'
TAG = "PC-0006"


@pytest.fixture
def workshop(station: Station) -> Station:
    """The sixth machine and its donor are hostile."""
    disk = make_disk(serial=EVIL, model=EVIL, wwn="")
    smbios = Smbios(system_vendor=EVIL, system_product=EVIL, system_serial=EVIL)
    send_through(Dialogue(station), make_pc(6, disks=(disk,), smbios=smbios, cpu=EVIL))
    with station.database.transaction() as session:
        giving.add_donor(session, giving.Donor(name=EVIL), EVIL)
        giving.gave_machine(session, TAG, EVIL, EVIL)
    return station


def is_text(html: str) -> None:
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "{{7*7}}" in html and "49</" not in html


def test_certificates(workshop: Station) -> None:
    paper = PAPER.model_copy(update={"donor": EVIL})
    with workshop.database.transaction() as session:
        one = issue_for_machine(workshop, session, TAG, paper, EVIL)
        batch = issue_for_batch(workshop, session, BATCH, paper, EVIL)
    for language in ("en", "zh"):
        is_text(certificate_html(one, "00", "11", language))
    for row in csv.reader(io.StringIO(disks_csv(batch))):
        assert not any(cell.lstrip("\ufeff").startswith("=") for cell in row)


def test_labels_and_the_hand_over_pack_are_made(workshop: Station) -> None:
    with workshop.database.transaction() as session:
        machines = machines_of_batch(session, BATCH)
        assert TAG in {machine.asset_tag for machine in machines}
        for machine in machines:
            machine.milestone = Milestone.VERIFIED
        hostile = [machine for machine in machines if machine.asset_tag == TAG]
        assert labels_pdf(workshop, session, hostile, Form.SINGLE, "zh").startswith(b"%PDF-")
        assert hand_over_pdf(workshop, session, BATCH, "en").startswith(b"%PDF-")


def test_impact_and_journal_in_a_spreadsheet(workshop: Station) -> None:
    with workshop.database.reading() as session:
        found = impact(workshop, session, now().date())
    assert impact_pdf(found, EVIL, "zh").startswith(b"%PDF-")
    assert impact_xlsx(found, "en").startswith(b"PK")
    for text in (impact_csv(found, "en"), csv_table(("who",), [(EVIL,)])):
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        assert f"'{EVIL}" in cells
        assert EVIL not in cells
