"""What a machine says is an attacker's text: from its report to every place where it is shown.

Two kinds: what breaks a limit is refused whole, with a clear error, and leaves nothing behind; what
keeps within the limits is believed to be text and nothing else on pages, in tables for
spreadsheets, on paper, on a terminal and in an inventory.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from sqlalchemy import select

from provisioner.agent.drive import ata_facts, nvme_facts, parse_nvme_log, parse_sanitize_status
from provisioner.agent.lsblk import parse_lsblk
from provisioner.agent.smart import parse_health, parse_reading
from provisioner.agent.strain import judge_firmware
from provisioner.api.auth import SESSION_COOKIE
from provisioner.cli import cli
from provisioner.documents.certificates import issue_for_batch, issue_for_machine
from provisioner.documents.disks_csv import disks_csv
from provisioner.documents.labels import Form, labels_pdf, machines_of_batch
from provisioner.documents.papers import certificate_html
from provisioner.errors import CommandError, UntrustedError
from provisioner.fleet.inventory import StationFacts, inventory_for
from provisioner.fleet.school import load_school, school_folders
from provisioner.model.erasure import DriveFacts
from provisioner.model.hardware import Hardware, Nic, Smbios, Transport
from provisioner.model.school import SeatedMachine
from provisioner.model.signed import PrivateKey
from provisioner.run import run
from provisioner.store.tables import EventRow, MachineRow
from provisioner.web import make_operator_side
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import Station
from tests import people
from tests.paper_factory import BATCH, PAPER, make_pc, make_workshop, send_through
from tests.unit.workshop.robot import disk, hardware

NASTY = (
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "</style><h1>x", "{{7*7}}",
    "{% raw %}", "${7*7}", "#{7*7}", "=cmd|'/c calc'!A1", "+1+1", "-1+1", "@SUM(A1)", "%0aset",
    "; reboot", "$(reboot)", "`reboot`", "../../etc/passwd", "' OR 1=1 --", "\u202egnp.exe",
    "%s%s%n", "{0.__class__}", "a\u0301" * 60, "＝1+1", "𝕏" * 100,
    "!unsafe {{lookup('pipe','id')}}",
)  # fmt: skip


def report(**changes: Any) -> dict[str, Any]:
    """A registration as JSON values, to be broken."""
    told = {**hardware().model_dump(mode="json"), **changes}
    return {"counter": 5, "hardware": told, "boot": {"surroundings": "live"}}


def disks(number: int) -> list[dict[str, Any]]:
    return [disk(f"D{n}").model_dump(mode="json") for n in range(number)]


def one_disk(**changes: Any) -> list[dict[str, Any]]:
    return [{**disk("D1").model_dump(mode="json"), **changes}]


def smbios(**changes: Any) -> dict[str, Any]:
    return {**Smbios().model_dump(), **changes}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """A station that nobody ever comes into: whatever is sent here must be refused."""
    station = make_workshop(tmp_path_factory.mktemp("empty"), machines=0)
    yield station
    station.database.close()


BROKEN: dict[str, Any] = {
    "a megabyte": report(cpu="A" * 2**20),
    "a megabyte of serial": report(disks=one_disk(serial="S" * 2**20)),
    "an escape": report(cpu="\x1b[31mred"),
    "a C1 escape": report(cpu="\x9b31mred"),
    "a line break": report(smbios=smbios(system_serial="a\nb")),
    "a NUL": report(smbios=smbios(uuid="a\x00b")),
    "ten thousand disks": report(disks=disks(10_000)),
    "sixty-five disks": report(disks=disks(65)),
    "a negative size": report(disks=one_disk(size_bytes=-1)),
    "a size of 2^64": report(disks=one_disk(size_bytes=2**64)),
    "a size in words": report(disks=one_disk(size_bytes="big")),
    "half a byte": report(disks=one_disk(size_bytes=1.5)),
    "negative memory": report(memory_mib=-5),
    "another transport": report(disks=one_disk(transport="telepathy")),
    "no MAC": report(nics=[{"name": "e", "mac": "<b>"}]),
    "a field too many": report(surprise=1),
    "a list for a text": report(cpu=["a"]),
    "nothing": {},
    "a number": 7,
    "infinity": {**report(), "boot": {"surroundings": "live", "clock": float("inf")}},
    "no number": {**report(), "boot": {"surroundings": "live", "clock": float("nan")}},
    "a counter of 2^80": {**report(), "counter": 2**80},
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_report_beyond_the_limits_is_refused_and_leaves_nothing(
    workshop: Station, what: str
) -> None:
    body = PrivateKey.generate().sign("registerrequest", json.dumps(BROKEN[what]).encode())
    with pytest.raises(UntrustedError) as refused:
        Dialogue(workshop).register(body.encode(), "10.77.0.9")
    assert len(str(refused.value)) < 20_000
    assert_nothing_kept(workshop)


@pytest.mark.parametrize(
    "payload",
    [b"\xff\xfe\x00", b'{"counter": 5, "hardware": "\xc3\x28"}', b"[" * 100_000, b'{"a":' * 9999,
     b'{"counter": 5, "hardware": {"cpu": "\\ud800"}}', b"", b"\x00" * 1000],
    ids=range(7),
)  # fmt: skip
def test_bytes_that_are_no_report_are_refused(workshop: Station, payload: bytes) -> None:
    body = PrivateKey.generate().sign("registerrequest", payload)
    with pytest.raises(UntrustedError):
        Dialogue(workshop).register(body.encode(), "10.77.0.9")
    assert_nothing_kept(workshop)


def test_a_report_with_bytes_turned_over_never_breaks_the_station(tmp_path: Path) -> None:
    """Either a machine or a refusal, never another error."""
    station = make_workshop(tmp_path, machines=0)
    dialogue, refused = Dialogue(station), 0
    for seed in range(90):
        rng, key = random.Random(seed), PrivateKey.generate()
        payload = bytearray(json.dumps(report()).encode())
        for _ in range(1 if seed % 3 else 8):
            top = 256 if seed % 4 == 0 else 127
            payload[rng.randrange(len(payload))] = rng.randrange(32, top)
        try:
            dialogue.register(key.sign("registerrequest", bytes(payload)).encode(), "10.0.0.1")
        except UntrustedError:
            refused += 1
    assert 30 < refused < 90
    with station.database.reading() as session:
        assert session.scalars(select(MachineRow)).all()
    station.database.close()


def assert_nothing_kept(station: Station) -> None:
    with station.database.reading() as session:
        assert session.scalars(select(MachineRow)).all() == []
        assert session.scalars(select(EventRow).where(EventRow.kind == "registered")).all() == []


def nasty_pc(text: str) -> Hardware:
    """Every text that a maker, or an attacker, can set, within the limits."""
    short = text[:200]
    board = Smbios(**{name: short for name in Smbios.model_fields if name != "uuid"}, uuid="u-1")
    evil = disk(short[:190] + "-D", model=short, wwn=short, content=(short,), size_bytes=10**11)
    nics = (Nic(name=short, mac="a4:bb:6d:00:00:01", driver=short),)
    return make_pc(1, smbios=board, cpu=short, disks=(evil,), nics=nics)


class Tags(HTMLParser):
    """Which elements and attributes a page really has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))


def shape(html: str) -> list[tuple[str, tuple[str, ...]]]:
    return Tags(html).found


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """A workshop in which every machine is nasty in another way; PC-0001 is the first of NASTY."""
    station = make_workshop(tmp_path_factory.mktemp("evil"), machines=0)
    for number, text in enumerate(NASTY, 1):
        board = nasty_pc(text)
        smbios = board.smbios.model_copy(update={"uuid": f"u-{number:06d}"})
        card = board.nics[0].model_copy(update={"mac": f"a4:bb:6d:00:01:{number:02x}"})
        serial = f"{text[:180]}-{number:04d}"
        drive = board.disks[0].model_copy(update={"serial": serial})
        parts = {"smbios": smbios, "nics": (card,), "disks": (drive,)}
        send_through(Dialogue(station), board.model_copy(update=parts))
    yield station
    station.database.close()


@pytest.fixture(scope="module")
def browser(evil: Station) -> Iterator[TestClient]:
    session = people.log_in(evil)
    with TestClient(make_operator_side(evil), cookies={SESSION_COOKIE: session}) as client:
        yield client


def tags(station: Station) -> list[str]:
    with station.database.reading() as session:
        return [row.asset_tag or "" for row in machines_of_batch(session, BATCH)]


def test_all_of_them_came_in_as_machines_of_their_own(evil: Station) -> None:
    assert tags(evil) == [f"PC-{n:04d}" for n in range(1, len(NASTY) + 1)]


def test_no_page_is_changed_by_what_a_machine_says(browser: TestClient, evil: Station) -> None:
    """The elements of a nasty machine's page are those of a harmless one's, for every machine."""
    harmless = shape(browser.get("/machines/PC-0024").text)
    for tag in tags(evil)[:12]:
        page = browser.get(f"/machines/{tag}")
        assert page.status_code == 200
        assert set(shape(page.text)) <= set(harmless) | set(shape(browser.get("/").text)), tag
        assert not {"script", "img", "h1"} & {
            name for name, attributes in shape(page.text) if "onerror" in attributes
        }
        assert "<script>alert" not in page.text
    for address in (
        "/",
        "/batches",
        f"/batches/{BATCH}",
        "/journal",
        "/machines/PC-0001/checklist",
    ):
        text = browser.get(address).text
        assert "<script>alert" not in text and "onerror=alert(1)>" not in text.replace("&gt;", "")


def test_templates_never_compute_what_a_machine_says(browser: TestClient) -> None:
    number = NASTY.index("{{7*7}}") + 1
    page = browser.get(f"/machines/PC-{number:04d}").text
    assert "{{7*7}}" in page and ">49<" not in page


def test_on_a_terminal_it_is_one_line_of_printable_text(evil: Station) -> None:
    state = str(evil.settings.state_dir)
    for tag in (*tags(evil)[::6], f"PC-{NASTY.index(chr(0x202E) + 'gnp.exe') + 1:04d}"):
        for words in (
            ["machine", "show", tag],
            ["machine", "list"],
            ["machine", "show", tag, "--json"],
        ):
            said = CliRunner().invoke(cli, ["--state-dir", state, *words])
            assert said.exit_code == 0, said.output
            assert "\x1b" not in said.output and "\u202e" not in said.output


def test_in_a_spreadsheet_no_cell_is_a_formula(evil: Station) -> None:
    with evil.database.transaction() as session:
        made = issue_for_batch(evil, session, BATCH, PAPER, "test")
    rows = list(csv.reader(io.StringIO(disks_csv(made).removeprefix("\ufeff"))))
    assert len(rows) == len(NASTY) + 1
    for row in rows[1:]:
        assert len(row) == 11
        assert not any(cell.lstrip().startswith(("=", "+", "-", "@", "%", "＝")) for cell in row)


def test_on_paper_it_is_only_text(evil: Station, tmp_path: Path) -> None:
    with evil.database.transaction() as session:
        for tag in tags(evil):
            made = issue_for_machine(evil, session, tag, PAPER, "test")
            html = certificate_html(made, "d" * 64, evil.key.public, "zh")
            assert (
                "<script" not in html
                and "</style><h1>" not in html
                and "onerror=alert(1)>" not in html
            )
            assert {name for name, _ in shape(html)} <= {
                "html", "head", "meta", "title", "style", "body", "div", "h1", "h2", "p", "img",
                "table", "thead", "tr", "th", "td", "strong", "code", "br", "span",
            }  # fmt: skip
        machines = machines_of_batch(session, BATCH)[:5]
        (tmp_path / "l.pdf").write_bytes(labels_pdf(evil, session, machines, Form.SHEET, "en"))
    text = run(["pdftotext", tmp_path / "l.pdf", "-"], timeout_s=60).stdout
    assert "PC-0001" in text and "{{7*7}}" in text


def test_nothing_of_it_reaches_an_ansible_variable(evil: Station) -> None:
    school = load_school(school_folders(evil.settings.inventories_dir)[0])
    machine = SeatedMachine.model_validate(
        {"asset_tag": "PC-0001", "seat": 1, "address": "10.77.0.9"}
    )
    written = json.dumps(inventory_for(school, [machine], StationFacts()))
    assert not any(json.dumps(text)[1:-1] in written for text in NASTY if len(text) > 5)
    for address in NASTY:
        with pytest.raises(ValueError, match="address"):
            SeatedMachine.model_validate({"asset_tag": "PC-0001", "seat": 1, "address": address})


@pytest.mark.parametrize("seed", range(20))
def test_tools_that_print_rubbish_are_never_believed(seed: int) -> None:
    """Random bytes, huge numbers and cut answers: no crash, no offer, no health, no end."""
    rng = random.Random(seed)
    base = DriveFacts(transport=Transport.SATA, rotational=True, size_bytes=10**12)
    samples = sorted((Path(__file__).parents[1] / "samples/drives").glob("*.[tj]*"))
    text = rng.choice(samples).read_text()
    cut = text[: rng.randrange(len(text))]
    noise = "".join(chr(rng.randrange(1, 0x2FF)) for _ in range(3000))
    for rubbish in (noise, cut[::-1], noise + cut, "9" * 5000, "[" * 5000, "\x00" * 99):
        facts = ata_facts(base, rubbish, rubbish, rubbish, rubbish)
        assert facts.hidden_bytes >= 0
        nvme_facts(base, rubbish, True)
        parse_nvme_log(rubbish)
        parse_sanitize_status(rubbish)
        assert parse_health(rubbish).outcome == "unknown"
        assert parse_reading(rubbish).passed is None
        assert len(judge_firmware(rubbish).value) <= 200
        with pytest.raises(CommandError):
            parse_lsblk(rubbish)


@pytest.mark.parametrize("value", [-1, 10**40, 2**63, "9", None, True, 1.5, [], {}])
def test_smart_figures_that_cannot_be_are_absent(value: object) -> None:
    told = {
        "smart_status": {"passed": value},
        "power_on_time": {"hours": value},
        "ata_smart_attributes": {"table": [{"id": 5, "raw": {"value": value}}]},
    }
    reading = parse_reading(json.dumps(told))
    assert (reading.power_on_hours, reading.reallocated) == (None, None)
