"""Verify: a check that is missing has not passed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from provisioner.checks.catalog import CATALOG, expected_checks
from provisioner.checks.promises import Promises, promises_for
from provisioner.errors import UnreachableError, UntrustedError
from provisioner.fleet.school import load_school
from provisioner.model.school import SeatedMachine
from provisioner.run import Finished
from provisioner.stages import verify
from provisioner.stages.verify import (
    CheckResult,
    Outcome,
    VerifyEvidence,
    judge_verify,
    parse_results,
    verify_machine,
)

INVENTORIES = Path(__file__).parents[3] / "inventories"
MACHINE = SeatedMachine(asset_tag="PC-0001", seat=2, address="10.77.0.9")
ALL_PASSED = tuple(
    CheckResult(id=check.id, outcome=Outcome.PASSED, seconds=0.1) for check in CATALOG
)


@pytest.fixture
def promises() -> Promises:
    return promises_for(
        load_school(INVENTORIES / "new-shoots"), 2, release="lab@2026.1",
        ssh_host_keys=("ssh-ed25519 AAAA",), station_time_servers=("10.77.0.1",),
    )  # fmt: skip


def evidence(checks: tuple[CheckResult, ...], exit_code: int = 0) -> VerifyEvidence:
    return VerifyEvidence(
        school="new-shoots", hostname="shoots-pupil-01", release="lab@2026.1",
        checks=checks, exit_code=exit_code, seconds=1.0,
    )  # fmt: skip


def test_all_passed() -> None:
    assert judge_verify(evidence(ALL_PASSED), CATALOG) == []


@pytest.mark.parametrize("number", range(len(CATALOG)), ids=[check.id for check in CATALOG])
@pytest.mark.parametrize("how", ["missing", "failed", "skipped"])
def test_each_check_counts(number: int, how: str) -> None:
    left = list(ALL_PASSED)
    if how == "missing":
        del left[number]
    else:
        left[number] = left[number].model_copy(update={"outcome": Outcome(how)})
    reasons = judge_verify(evidence(tuple(left)), CATALOG)
    assert len(reasons) == 1
    assert reasons[0].startswith(f"{CATALOG[number].id}: ")
    assert CATALOG[number].en in reasons[0]


def test_nothing_ran() -> None:
    assert len(judge_verify(evidence(()), CATALOG)) == len(CATALOG)


def test_the_process_must_have_ended_well_too() -> None:
    assert judge_verify(evidence(ALL_PASSED, exit_code=1), CATALOG) == [
        "The checks ended with exit code 1."
    ]


def test_a_failed_check_that_nobody_expected() -> None:
    odd = CheckResult(id="odd", outcome=Outcome.FAILED, message="why", seconds=0)
    assert judge_verify(evidence((*ALL_PASSED, odd)), CATALOG) == ["odd: why"]


def test_a_wallpaper_is_only_checked_where_it_was_promised(promises: Promises) -> None:
    without = promises.model_copy(update={"wallpaper_sha256": None})
    ids = {check.id for check in expected_checks(promises)}
    assert ids - {check.id for check in expected_checks(without)} == {"wallpaper"}


def test_results_of_another_form_count_for_nothing() -> None:
    good = ALL_PASSED[0].model_dump_json()
    results = parse_results(["", "{", '{"id": "x"}', '{"id": "../x", "outcome": "passed"}', good])
    assert [result.id for result in results] == [ALL_PASSED[0].id]


def test_a_check_cannot_pass_by_running_twice() -> None:
    failed = ALL_PASSED[0].model_copy(update={"outcome": Outcome.FAILED})
    (result,) = parse_results([failed.model_dump_json(), ALL_PASSED[0].model_dump_json()])
    assert result.outcome is Outcome.FAILED


def visit(promises: Promises, folder: Path) -> VerifyEvidence:
    return verify_machine(
        "new-shoots", MACHINE, promises, ssh_key=folder / "key",
        known_hosts=folder / "known_hosts", folder=folder / "run", timeout_s=10,
    )  # fmt: skip


def test_a_process_that_does_nothing_proves_nothing(
    promises: Promises, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "results.jsonl").write_text(ALL_PASSED[0].model_dump_json())  # of an earlier run
    monkeypatch.setattr(verify, "run", lambda words, **_: Finished(tuple(words), 0, "", ""))
    found = visit(promises, tmp_path)
    expected = expected_checks(promises)
    assert len(judge_verify(found, expected)) == len(expected) > 20


@pytest.mark.parametrize(
    ("note", "error"), [("unreachable", UnreachableError), ("untrusted", UntrustedError)]
)
def test_a_machine_that_was_not_met(
    promises: Promises, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    note: str, error: type[Exception],
) -> None:  # fmt: skip
    def run(words: list[str], **_: object) -> Finished:
        (tmp_path / "run" / "results.jsonl").write_text(json.dumps({note: "why"}) + "\n")
        return Finished(tuple(words), 1, "", "")

    monkeypatch.setattr(verify, "run", run)
    with pytest.raises(error, match="PC-0001"):
        visit(promises, tmp_path)


def test_promises_come_from_the_folder(promises: Promises) -> None:
    assert promises.hostname == "shoots-pupil-01"
    assert promises.time_servers == ("10.77.0.1", "ntp.ntsc.ac.cn", "cn.pool.ntp.org")
    assert [account.login for account in promises.accounts] == ["teacher", "pupil"]
    assert promises.greeting_en.startswith("Welcome")
    assert Promises.model_validate_json(promises.model_dump_json()) == promises


def test_half_a_line_of_a_process_that_was_ended_says_nothing() -> None:
    lines = ['{"id": "hostname", "outcome": "pas', "[]", "17"]
    verify._raise_if_not_met(lines, MACHINE)
    assert parse_results(lines) == ()
