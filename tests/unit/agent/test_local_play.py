"""What Ansible's own words say of a run, as its default callback writes them."""

from __future__ import annotations

import pytest

from provisioner.agent.local_play import changed_of, why_not

GOOD = """
PLAY [Bring a machine into a state of the contest] ****************

TASK [contest : Look] *********************************************
ok: [machine]

PLAY RECAP ********************************************************
machine                    : ok=5    changed=2    unreachable=0    failed=0    skipped=3
"""
BAD = """
TASK [contest : Look] *********************************************
ok: [machine]

TASK [contest : Merge the layer] **********************************
fatal: [machine]: FAILED! => {"msg": "non-zero return code", "rc": 1}

PLAY RECAP ********************************************************
machine                    : ok=1    changed=0    unreachable=0    failed=1    skipped=0
"""


def test_figures_of_the_one_machine_count() -> None:
    assert changed_of(GOOD) == 2
    assert why_not(GOOD) == ""


@pytest.mark.parametrize(
    "said", [BAD, "", GOOD.replace("ok=5 ", "ok=0 "),
             GOOD.replace("unreachable=0", "unreachable=1"), GOOD + GOOD.splitlines()[-1]],
)  # fmt: skip
def test_anything_else_is_no_success(said: str) -> None:
    assert changed_of(said) is None


def test_the_task_that_failed_is_named() -> None:
    assert why_not(BAD) == "“contest : Merge the layer” failed."
