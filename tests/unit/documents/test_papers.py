"""What is printed: in both languages, with the figures, and with nothing fetched from anywhere."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from jinja2.ext import extract_from_ast
from weasyprint.urls import FatalURLFetchingError

from provisioner.documents import impact_papers, texts
from provisioner.documents.certificates import issue_for_batch, issue_for_machine
from provisioner.documents.chinese import ZH
from provisioner.documents.disks_csv import disks_csv
from provisioner.documents.labels import Form, label_of, labels_pdf, machines_of_batch
from provisioner.documents.papers import certificate_html
from provisioner.documents.pdf import make_pdf
from provisioner.documents.qr import qr_image
from provisioner.errors import WrongStateError
from provisioner.model.certificate import BatchCertificate, WipeCertificate
from provisioner.model.signed import open_envelope
from provisioner.run import run
from provisioner.templating import environment, templates_folder
from provisioner.workshop.station import Station
from tests.paper_factory import BATCH, PAPER

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "docs/samples"


def spoken() -> set[str]:
    """Every text of the documents' templates and of the code that feeds them."""
    found = set(texts.BASES.values()) | {name for name, _ in texts.SMART_FIELDS}
    found |= {"bytes", "yes", "no", "clear", "purge", "hard disk", "solid-state disk", "NVMe"}
    found.add("The drive did not tell whether it hides an area (HPA, DCO).")
    found.add(str(WipeCertificate.model_fields["standard"].default))
    found |= {*impact_papers.HEAD, *impact_papers.PUPILS_HEAD, *impact_papers.RULES}
    found |= {"Donors", "Pupils", "Rules and sources", "Rule", "donor not noted", "in all"}
    for path in (templates_folder() / "documents").glob("*.j2"):
        tree = environment().parse(path.read_text())
        for _, _, message in extract_from_ast(tree, ("_",)):
            text = message[0] if isinstance(message, tuple) else message
            if text is not None:
                found.add(text)
    return found


def test_everything_on_paper_is_in_chinese_too() -> None:
    assert spoken() - set(ZH) == set()
    assert set(ZH) - spoken() == set()
    for english, chinese in ZH.items():
        assert re.findall(r"{\w+}", english) == re.findall(r"{\w+}", chinese), english
        assert re.search(r"[\u4e00-\u9fff]", chinese), english


def certificate(station: Station) -> WipeCertificate:
    with station.database.transaction() as session:
        return issue_for_machine(station, session, "PC-0003", PAPER, "test")


def batch_certificate(station: Station) -> BatchCertificate:
    with station.database.transaction() as session:
        return issue_for_batch(station, session, BATCH, PAPER, "test")


@pytest.mark.parametrize(("language", "word"), [("en", "Chen Lan"), ("zh", "数据清除证书")])
def test_the_certificate_prints_every_field(station: Station, language: str, word: str) -> None:
    made = certificate(station)
    html = certificate_html(made, "d" * 64, station.key.public, language)
    assert word in html
    for value in (made.number, "WD-WCC2E000003", "500\u202f107\u202f862\u202f016",
                  "TOSHIBA DT01ACA050", "14212", "14214", PAPER.donor, made.wipe.order,
                  "HPA", "0.1.0", "NIST SP 800-88 r2"):  # fmt: skip
        assert value in html, value
    assert f'lang="{"zh-CN" if language == "zh" else "en"}"' in html


def test_the_donors_paper_says_where_weights_come_from(station: Station) -> None:
    html = certificate_html(batch_certificate(station), "d" * 64, station.key.public, "en")
    assert "median of desktops: 4; median of laptops: 1" in html
    assert "no statement on emissions" in html and "4C530001" in html


def test_labels_hold_tag_and_address(station: Station, tmp_path: Path) -> None:
    with station.database.reading() as session:
        machines = machines_of_batch(session, BATCH)
        label = label_of(station.settings, session, machines[0])
        assert (label.tag, label.cpu, label.linked) == ("PC-0001", "Core i3-4150", True)
        sheet = labels_pdf(station, session, machines, Form.SHEET, "zh", skip=20)
    (tmp_path / "l.pdf").write_bytes(sheet)
    text = run(["pdftotext", tmp_path / "l.pdf", "-"], timeout_s=60).stdout
    assert text.count("\f") == 2  # one label fits on the first sheet, four on the next
    assert "PC-0005" in text and "扫码" in text


def test_nothing_to_print_is_said(station: Station) -> None:
    with station.database.reading() as session, pytest.raises(WrongStateError):
        labels_pdf(station, session, [], Form.SHEET, "en")


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "http://127.0.0.1:9/x.png", "data:text/html,x", "ftp://x/y"]
)
def test_a_document_fetches_nothing(address: str) -> None:
    with pytest.raises(FatalURLFetchingError):
        make_pdf(f'<p>x<img src="{address}"></p>')
    with pytest.raises(FatalURLFetchingError):
        make_pdf(f'<style>@import url("{address}");</style><p>x</p>')


def test_a_qr_code_is_a_picture_and_bounded() -> None:
    assert qr_image("PC-0001").startswith("data:image/svg+xml")
    for text in ("", "x" * 601):
        with pytest.raises(ValueError, match="QR"):
            qr_image(text)


def test_the_table_for_spreadsheets(station: Station) -> None:
    made = batch_certificate(station)
    wipe = made.wipes[0]
    evil = wipe.model_copy(
        update={"medium": wipe.medium.model_copy(update={"serial": "=cmd|'/c calc'!A1"})}
    )
    rows = list(csv.reader(io.StringIO(disks_csv(made.model_copy(update={"wipes": (evil,)})))))
    assert rows[1][3] == "'=cmd|'/c calc'!A1"
    assert rows[-1][-1] == "NOT ERASED: removable"


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", ["certificate", "batch-certificate", "label-sheet", "label"])
def test_the_samples_in_the_documentation_are_there(name: str, language: str) -> None:
    path = SAMPLES / f"{name}.{language}.pdf"
    text = run(["pdftotext", path, "-"], timeout_s=60).stdout
    assert "PC-000" in text
    assert bool(re.search(r"[\u4e00-\u9fff]{3}", text.replace("二铃工场", ""))) == (
        language == "zh"
    )


def test_the_sample_certificate_verifies() -> None:
    key = (SAMPLES / "station.pub").read_text().strip()
    made, _ = open_envelope(
        (SAMPLES / "certificate.json").read_text(), WipeCertificate, trusted=key
    )
    assert made.wipe.asset_tag == "PC-0002"
