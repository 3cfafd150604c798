"""Hand-over pack and impact: what stands on them, and that hostile text stays text everywhere."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import zipfile
from datetime import date
from pathlib import Path

import pytest

from provisioner.documents.hand_over import hand_over_pdf
from provisioner.documents.impact import DonorImpact, Impact, Pupils, Range
from provisioner.documents.impact_papers import impact_csv, impact_pdf, impact_xlsx, tonnes
from provisioner.documents.tables import Sheet, csv_cell, xlsx_book
from provisioner.errors import WrongStateError
from provisioner.lifecycle import Milestone
from provisioner.model.hardware import Smbios
from provisioner.workshop.station import Station
from tests import factories

HOSTILE = ('=cmd|"/c calc"!A1', "@SUM(1+1)", "+1+1", "-2+3", "\t=1", "<script>alert(1)</script>",
           "{{7*7}}", "https://evil.example/", "<img src=file:///etc/passwd>")  # fmt: skip


def text_of(pdf: bytes) -> str:
    done = subprocess.run(["pdftotext", "-layout", "-", "-"], input=pdf, capture_output=True)
    return done.stdout.decode()


def figures(name: str) -> Impact:
    one = DonorImpact(donor=name, machines=3, reused=2, kilograms_reused=10.52,
                      co2e=Range(low=218, high=498))  # fmt: skip
    pupils = Pupils(school="new-shoots", school_year="2026/27", pupils=316, declared_by=name,
                    declared_on=date(2026, 9, 1))  # fmt: skip
    return Impact(on=date(2026, 11, 23), donors=(one,), total=one, schools=1, pupils=(pupils,))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_in_csv_and_xlsx_hostile_names_are_text(hostile: str) -> None:
    rows = list(csv.reader(io.StringIO(impact_csv(figures(hostile), "en").removeprefix("\ufeff"))))
    assert not rows[1][0].lstrip().startswith(("=", "+", "-", "@", "\t"))
    assert hostile.strip("\t") in rows[1][0]
    with zipfile.ZipFile(io.BytesIO(impact_xlsx(figures(hostile), "zh"))) as book:
        sheets = [book.read(name).decode() for name in book.namelist() if "worksheets/" in name]
        assert len(sheets) >= 3
        assert not any("<f>" in sheet or "hyperlink" in sheet for sheet in sheets)
        assert "<script>" not in book.read("xl/sharedStrings.xml").decode()


def test_figures_stay_figures() -> None:
    assert csv_cell(-5) == "-5" and csv_cell("-5") == "'-5" and csv_cell(None) == ""
    book = xlsx_book([Sheet("a", ("n",), [(-5,), ("-5",), (None,)])])
    with zipfile.ZipFile(io.BytesIO(book)) as file:
        sheet = file.read("xl/worksheets/sheet1.xml").decode()
    assert re.search(r"<v>-5</v>", sheet)


def test_the_paper_names_rules_sources_and_a_range() -> None:
    english = text_of(impact_pdf(figures("<b>ACME</b> {{7*7}}"), "W", "en"))
    assert "<b>ACME</b> {{7*7}}" in english
    for said in ("0.2 – 0.5 t", "Boavizta", "TU Berlin", "109 kg", "249 kg", "saved nothing"):
        assert said in " ".join(english.split()), said
    chinese = text_of(impact_pdf(figures("ACME"), "", "zh"))
    assert "规则与来源" in chinese and "316" in chinese


def test_a_range_is_as_coarse_as_it_is_known() -> None:
    assert tonnes(218, 498) == "0.2 – 0.5 t"
    assert tonnes(109_000, 249_000) == "109 – 249 t"


def test_the_hand_over_pack_is_about_this_classroom(tmp_path: Path) -> None:
    station: Station = factories.make_station(tmp_path)
    factories.open_batch(station)
    with station.database.transaction() as session:
        with pytest.raises(WrongStateError):
            hand_over_pdf(station, session, factories.BATCH, "en")
        factories.add_machine(session, 1, Milestone.VERIFIED)
        evil = Smbios(system_vendor="<script>", system_product="{{7*7}}", system_serial="=1")
        factories.add_machine(
            session, 2, Milestone.VERIFIED, factories.make_hardware(2, smbios=evil)
        )
        factories.add_machine(session, 3, Milestone.WIPED)
    with station.database.reading() as session:
        english = text_of(hand_over_pdf(station, session, factories.BATCH, "en"))
        chinese = text_of(hand_over_pdf(station, session, factories.BATCH, "zh"))
    for said in ("PC-0001", "PC-0002", "<script> {{7*7}}", "teacher-1", "Signature",
                 "1 more computers", "New Shoots"):  # fmt: skip
        assert said in english, said
    assert "PC-0003" not in english
    for said in ("新芽学校", "教师指南", "收条", "欢迎来到新芽学校电脑教室"):
        assert said in chinese, said
    station.database.close()
