"""What the lab's last table says of the evidence: from the stages' own models."""

from __future__ import annotations

from provisioner.lab.display import gist
from provisioner.stages.configure import ConfigureEvidence, RunCounts


def configured(again: RunCounts | None) -> str:
    evidence = ConfigureEvidence(
        school="high-pasture", seat="1", hostname="pasture-1", revision="0" * 64,
        first=RunCounts(ok=14, changed=11), again=again,
    )  # fmt: skip
    return gist("configure", evidence.model_dump(mode="json"))


def test_both_runs_of_the_playbook_are_told() -> None:
    assert configured(RunCounts(ok=10, changed=0)) == "11 changes, then 0"


def test_a_second_run_that_never_was_is_not_called_one() -> None:
    assert configured(None) == "11 changes, then it stopped"
