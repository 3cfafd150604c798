"""Labels and certificates on the command line."""

from __future__ import annotations

from pathlib import Path

from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import Station
from tests.paper_factory import make_pc, send_through
from tests.unit.cli.conftest import Terminal
from tests.unit.workshop.conftest import open_batch, publish, small_manifest


def test_issue_verify_and_find_a_changed_byte(
    terminal: Terminal, station: Station, tmp_path: Path
) -> None:
    publish(station, small_manifest())
    open_batch(station, "intake")
    send_through(Dialogue(station), make_pc(1))
    out = str(tmp_path / "out")
    terminal.run("certificate", "issue", "PC-0001", "--donor", "X Ltd", "-o", out)
    terminal.run("certificate", "issue", "--batch", "intake", "-o", out, "--language", "zh")
    file = tmp_path / "out/W-000001.json"
    assert (tmp_path / "out/W-000001.pdf").read_bytes().startswith(b"%PDF-")
    said = terminal.run("certificate", "verify", str(file), str(tmp_path / "out/B-000002.json"))
    assert "W-000001: unchanged" in said.output and "1 erased" in said.output
    key = station.key.public
    terminal.run("certificate", "verify", str(file), "--key", key.upper())
    file.write_bytes(file.read_bytes().replace(b"W", b"X", 1))
    assert "Error" in terminal.run("certificate", "verify", str(file), code=1).output
    terminal.run("certificate", "issue", code=2)


def test_labels_of_a_batch_and_of_machines(
    terminal: Terminal, busy: Station, tmp_path: Path
) -> None:
    pdf = tmp_path / "labels.pdf"
    said = terminal.run("label", "--batch", "class-2026-11", "-o", str(pdf), "--skip", "3")
    assert "8 labels" in said.output and pdf.read_bytes().startswith(b"%PDF-")
    terminal.run("label", "pc-0001", "PC-0002", "--form", "single", "-o", str(pdf))
    terminal.run("label", "PC-9999", "-o", str(pdf), code=1)
    terminal.run("label", "-o", str(pdf), code=2)
    terminal.run("machine", "identify", "1", "--new", code=1)
