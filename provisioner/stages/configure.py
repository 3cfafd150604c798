"""Configure: a machine becomes what its school's folder says.

The playbook runs over SSH, and then a second time: that nothing is left to change then, as
Ansible finds by asking the machine anew, is the proof that the first run took effect.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from provisioner.fleet.difference import note_configured
from provisioner.fleet.inventory import StationFacts, inventory_for
from provisioner.fleet.vault import Vault
from provisioner.model.base import Model, Name, Sha256, ShortText
from provisioner.model.school import School, SeatedMachine
from provisioner.stages.ansible import (
    HostRecap,
    Play,
    PlayRecap,
    Report,
    must_be_met,
    run_play,
    shared_connections,
    unproved,
)

PLAYBOOK = "site.yml"
# Of the progress shown, what the first run takes; the second finds everything done.
FIRST_SHARE = 0.6


class RunCounts(Model):
    """What Ansible counted in one run on this machine."""

    ok: int = Field(ge=0)
    changed: int = Field(ge=0)
    changed_tasks: tuple[ShortText, ...] = ()


class ConfigureEvidence(Model):
    """What both runs came to. `again` is missing when the first one failed."""

    verb: Literal["configure"] = "configure"
    school: Name
    seat: ShortText
    hostname: ShortText
    revision: Sha256 = Field(description="digest of the school's folder, vault and playbooks")
    first: RunCounts
    again: RunCounts | None = None
    problems: tuple[str, ...] = Field((), description="what the runs themselves reported")


@dataclass(frozen=True)
class Workplace:
    """What configuring needs on the station: playbooks, the station's key, the time servers."""

    playbooks: Path
    ssh_key: Path
    station: StationFacts


def configure_machine(
    school: School,
    machine: SeatedMachine,
    *,
    workplace: Workplace,
    vault: Vault,
    known_hosts: Path,
    folder: Path,
    timeout_s: float,
    report: Report = lambda step, fraction: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> ConfigureEvidence:
    """Configure one machine and look again; the logs of both runs stay in `folder`.

    Logs of an earlier attempt in the same folder are replaced.
    `known_hosts` pins the machine's own host key; `timeout_s` is for each run. What goes wrong
    on the machine is in the evidence. Raises UnreachableError when it does not answer,
    UntrustedError when it shows another host key, NotFoundError for a seat that is not there.
    """
    seat = school.seat(machine.seat)
    begun_with = revision(school, vault, workplace.playbooks)
    play = Play(
        playbook=workplace.playbooks / PLAYBOOK,
        inventory=inventory_for(school, [machine], workplace.station),
        group_vars=school.folder / "group_vars",
        vault=vault.file,
        vault_password=vault.password_file,
    )
    hosts = [machine.asset_tag]
    recaps: list[PlayRecap] = []
    with shared_connections(workplace.ssh_key, known_hosts) as access:
        for name, share in (("first", _part(report, 0.0)), ("again", _part(report, FIRST_SHARE))):
            shutil.rmtree(folder / name, ignore_errors=True)
            recaps.append(
                run_play(play, folder / name, access=access, timeout_s=timeout_s,
                         report=share, cancelled=cancelled)
            )  # fmt: skip
            must_be_met(recaps[-1], machine.asset_tag)
            if unproved(recaps[-1], hosts):
                break
    counts = [_counts(recap.hosts.get(machine.asset_tag)) for recap in recaps]
    evidence = ConfigureEvidence(
        school=school.id,
        seat=seat.name,
        hostname=seat.hostname,
        revision=begun_with,
        first=counts[0],
        again=counts[1] if len(counts) > 1 else None,
        problems=tuple(reason for recap in recaps for reason in unproved(recap, hosts)),
    )
    if not judge_configure(evidence, school=school.id, revision=begun_with):
        note_configured(school, machine.asset_tag, seat.name, begun_with, folder)
    return evidence


def judge_configure(evidence: ConfigureEvidence, *, school: str, revision: str) -> list[str]:
    """Reasons why the configuration is not proved."""
    reasons = list(evidence.problems)
    if evidence.school != school:
        reasons.append("The evidence is about another school.")
    if evidence.revision != revision:
        reasons.append("The school's folder or the playbooks changed meanwhile; configure again.")
    if evidence.first.ok == 0:
        reasons.append("No task was carried out.")
    if evidence.again is None:
        reasons.append("The machine was not looked at again.")
    elif evidence.again.ok == 0:
        reasons.append("No task was carried out when looking again.")
    elif evidence.again.changed:
        tasks = ", ".join(f"“{task}”" for task in evidence.again.changed_tasks)
        reasons.append(f"A second run still changed something: {tasks or 'it does not say what'}.")
    return reasons


def revision(school: School, vault: Vault, playbooks: Path) -> str:
    """SHA-256 over the path and content of every file that configures this school's machines."""
    digest = hashlib.sha256()
    for label, root in (("school", school.folder), ("playbooks", playbooks)):
        for path in _files(root):
            _feed(digest.update, f"{label}/{path.relative_to(root)}", path.read_bytes())
    _feed(digest.update, "vault", vault.file.read_bytes())
    return digest.hexdigest()


def _files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root).parts
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in inside):
            yield path


def _feed(update: Callable[[bytes], None], name: str, content: bytes) -> None:
    """Lengths first, so that no other set of files gives the same bytes."""
    label = name.encode()
    update(b"%d %s %d " % (len(label), label, len(content)))
    update(content)


def _part(report: Report, start: float) -> Report:
    """A share of the whole progress for one of the two runs."""
    share = FIRST_SHARE if start == 0.0 else 1.0 - FIRST_SHARE
    return lambda step, fraction: report(step, start + fraction * share)


def _counts(recap: HostRecap | None) -> RunCounts:
    if recap is None:
        return RunCounts(ok=0, changed=0)
    return RunCounts(
        ok=recap.ok,
        changed=recap.changed,
        changed_tasks=tuple(task[:200] for task in recap.changed_tasks),
    )
