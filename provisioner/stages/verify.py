"""Verify: every promise to the school is checked on the machine itself.

The checks run in a process of their own (pytest with testinfra) and write down each result. A
check that is missing from the results has not passed, whatever the process says.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from provisioner.checks import catalog
from provisioner.checks.catalog import Check
from provisioner.checks.promises import Promises
from provisioner.errors import UnreachableError, UntrustedError
from provisioner.model.base import Model, Name, ShortText, Text
from provisioner.model.release import ReleaseId
from provisioner.model.school import SeatedMachine
from provisioner.run import run

CHECKS = Path(catalog.__file__).parent
CONNECT_TIMEOUT_S = 60.0


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class CheckResult(Model):
    """What one check found; `message` says what is wrong."""

    id: Name
    outcome: Outcome
    message: ShortText = ""
    seconds: float = Field(ge=0)


class VerifyEvidence(Model):
    """All results of one visit, and how the process that made them ended."""

    verb: Literal["verify"] = "verify"
    school: Name
    hostname: ShortText
    release: ReleaseId
    checks: tuple[CheckResult, ...] = Field((), max_length=500)
    exit_code: int
    seconds: float = Field(ge=0)
    log: Text = Field("", description="the end of what the process wrote, when it went wrong")


def verify_machine(
    school: str,
    machine: SeatedMachine,
    promises: Promises,
    *,
    ssh_key: Path,
    known_hosts: Path,
    folder: Path,
    timeout_s: float,
) -> VerifyEvidence:
    """Run every check against one machine; the visit and its results stay in `folder`.

    Raises UnreachableError when the machine does not answer, UntrustedError when it shows
    another host key than the pinned one, and CommandError after `timeout_s`.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    results, visit = folder / "results.jsonl", folder / "visit.json"
    results.unlink(missing_ok=True)
    visit.write_text(
        json.dumps(
            {
                "address": str(machine.address),
                "port": machine.port,
                "key": str(ssh_key),
                "known_hosts": str(known_hosts),
                "timeout_s": CONNECT_TIMEOUT_S,
                "promises": promises.model_dump(mode="json"),
                "results": str(results),
            }
        ),
        encoding="utf-8",
    )
    started = time.monotonic()
    finished = run(_pytest(visit), timeout_s=timeout_s, check=False, cwd=folder,
                   env=_environment())  # fmt: skip
    lines = _lines(results)
    _raise_if_not_met(lines, machine)
    return VerifyEvidence(
        school=school,
        hostname=promises.hostname,
        release=promises.release,
        checks=parse_results(lines),
        exit_code=finished.code,
        seconds=round(time.monotonic() - started, 3),
        log=(finished.stdout + finished.stderr)[-4000:] if finished.code else "",
    )


def judge_verify(evidence: VerifyEvidence, expected: Sequence[Check]) -> list[str]:
    """Reasons why the promises are not kept: each expected check must be there and have passed."""
    found = {result.id: result for result in evidence.checks}
    reasons = [reason for check in expected if (reason := _judge_check(check, found.get(check.id)))]
    unknown = sorted(set(found) - {check.id for check in expected})
    reasons += [
        f"{name}: {found[name].message}" for name in unknown
        if found[name].outcome is Outcome.FAILED
    ]  # fmt: skip
    if evidence.exit_code != 0 and not reasons:
        reasons.append(f"The checks ended with exit code {evidence.exit_code}.")
    return reasons


def parse_results(lines: Sequence[str]) -> tuple[CheckResult, ...]:
    """One result a line. A line of another form counts for nothing, a check run twice as failed."""
    results: dict[str, CheckResult] = {}
    for line in lines:
        try:
            result = CheckResult.model_validate_json(line)
        except ValidationError:
            continue
        if result.id in results:
            result = result.model_copy(update={"outcome": Outcome.FAILED, "message": "ran twice"})
        results[result.id] = result
    return tuple(results.values())


def _judge_check(check: Check, result: CheckResult | None) -> str:
    if result is None:
        return f"{check.id}: was not checked. ({check.en})"
    if result.outcome is Outcome.PASSED:
        return ""
    return f"{check.id}: {result.message or result.outcome}. ({check.en})"


def _lines(results: Path) -> list[str]:
    return results.read_text("utf-8", "replace").splitlines() if results.exists() else []


def _raise_if_not_met(lines: Sequence[str], machine: SeatedMachine) -> None:
    for line in lines:
        try:
            note = json.loads(line)
        except ValueError:  # half a line: the process was ended while it wrote
            continue
        if not isinstance(note, dict):
            continue
        if "untrusted" in note:
            raise UntrustedError(
                f"Another machine answers at {machine.address} than {machine.asset_tag}: "
                f"{note['untrusted']}",
                "Check which machine hangs on this cable; image it again if it is the right one.",
            )
        if "unreachable" in note:
            raise UnreachableError(
                f"{machine.asset_tag} does not answer at {machine.address}: {note['unreachable']}",
                "Check that it is switched on, has started, and hangs on the network.",
            )


def _pytest(visit: Path) -> list[str | Path]:
    """pytest on our checks alone: no settings, plugins or cache of the surroundings."""
    return [
        sys.executable, "-B", "-m", "pytest", "-c", "/dev/null", "--rootdir", CHECKS,
        "-p", "no:cacheprovider", "-q", "--tb=short", "--no-header", "--visit", visit, CHECKS,
    ]  # fmt: skip


def _environment() -> dict[str, str]:
    return {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        "PYTHONPATH": str(CHECKS.parent.parent),
    }
