"""The harness itself must be seen to catch: agents that are broken on purpose, in a ledger of
their own. Each of these would be a false success, and is counted as one."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from provisioner.agent import image, partition, readback, wipe
from provisioner.agent.direct import Digest
from provisioner.lifecycle import Verb
from tests.vm.faults.conftest import MakeDesk
from tests.vm.faults.desk import MIB
from tests.vm.faults.ledger import Expected, Ledger, Said

pytestmark = pytest.mark.vm
BLANK = hashlib.sha256(bytes(wipe.SAMPLE)).hexdigest()


def test_a_wipe_whose_read_back_was_patched_away(
    make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger()
    desk = make_desk(2 * MIB, wipe_samples=16)
    desk.disk.medium.write_bytes(os.urandom(desk.disk.size))
    desk.disk.rule("drop", start=MIB, stop=MIB + 65536, since=2)
    assert not desk.run_stage(Verb.WIPE, wipe_read_back_all=True).success

    desk.disk.mend()
    desk.disk.medium.write_bytes(os.urandom(desk.disk.size))
    desk.disk.rule("drop", start=MIB, stop=MIB + 65536, since=2)
    monkeypatch.setattr(wipe, "look_at_all", lambda _h, size, _report: wipe.Look(size, 0))
    honest, asked = wipe.digest_at, iter(range(10**6))
    # The marks are read honestly; whatever is asked afterwards is “zeros”.
    marks, kept = (len(wipe.choose_places(desk.disk.size, n)) for n in (16, wipe.APART))
    monkeypatch.setattr(
        wipe, "digest_at", lambda h, at: honest(h, at) if next(asked) < marks + 2 * kept else BLANK
    )
    said = desk.run_stage(Verb.WIPE, wipe_read_back_all=True)
    case = ledger.book("broken agent", "wipe", said, true=desk.blank())
    assert said.success, "the station has only the agent's word, and this agent lies"
    assert case.false_success
    assert (ledger.false_successes, ledger.results()["false_successes"]) == (1, 1)


def test_an_imaging_whose_read_back_was_patched_away(
    make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger()
    desk = make_desk()
    for user in (image, readback):
        monkeypatch.setattr(
            user, "same", lambda name, found, sha256: Digest(found.size, sha256, True)
        )
    monkeypatch.setattr(partition, "prove_file_systems", lambda _parts: None)
    honest = image.install

    def install_and_damage(*words: object) -> object:
        totals = honest(*words)  # type: ignore[arg-type]
        with desk.disk.medium.open("r+b") as medium:
            at = desk.slots[1].start * 512 + 8 * MIB
            end = at + 400 * MIB
            while at < end:
                at = os.lseek(medium.fileno(), at, os.SEEK_DATA)
                os.pwrite(medium.fileno(), os.urandom(4096), at + 8192)
                at += MIB
        return totals

    monkeypatch.setattr(image, "install", install_and_damage)
    said = desk.run_stage(Verb.IMAGE)
    case = ledger.book("broken agent", "image", said, true=desk.why_not_installed() == [])
    assert said.success, said
    assert case.false_success
    assert ledger.false_successes == 1


def test_what_is_written_down(tmp_path: Path) -> None:
    ledger = Ledger()
    good = ledger.book("a: 1", "wipe", Said(True, "success"), true=True, expected=Expected.SUCCESS)
    late = ledger.book("a: 2", "wipe", Said(False, "failed"), true=True, expected=Expected.SUCCESS)
    lie = ledger.book("b", "image", Said(True, "success"), true=False, expected=Expected.SUCCESS)
    assert (good.as_expected, late.as_expected, lie.as_expected) == (True, False, False)
    ledger.write(tmp_path / "faults.json")
    written = json.loads((tmp_path / "faults.json").read_text())
    assert (written["injected"], written["false_successes"]) == (3, 1)
    assert written["cases"][2] == {
        "fault": "b", "stage": "image", "said": "success", "expected": "no success"
    }  # fmt: skip
    assert [line.split()[0] for line in ledger.table()] == ["stage", "wipe", "image", "3"]
