"""The playbooks as ansible-lint sees them, at its strictest profile."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from provisioner.run import run

ROOT = Path(__file__).parents[2]


@pytest.mark.integration
def test_ansible_lint_at_its_strictest() -> None:
    program = Path(sys.executable).with_name("ansible-lint")
    settings = (ROOT / ".ansible-lint").read_text()
    assert "profile: production" in settings
    assert "skip_list" not in settings
    result = run(
        [program, "--nocolor", "-c", ROOT / ".ansible-lint"], timeout_s=600, check=False,
        cwd=ROOT / "playbooks",
    )  # fmt: skip
    assert result.code == 0, result.stdout
    assert "0 failure(s), 0 warning(s)" in result.stdout + result.stderr
