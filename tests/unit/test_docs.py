"""Documentation that cannot rot: what it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from provisioner.cli.root import cli
from provisioner.lifecycle import STAGES

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# A command stands alone in a block, or between backticks.
COMMAND = re.compile(r"^(?:`)?(?:\.venv/bin/)?provisioner ([a-z][^`\n]*)", re.M)
INLINE = re.compile(r"`provisioner ([a-z][^`\n]*)`")
TARGET = re.compile(r"\bmake ([a-z]+)\b")


def commands() -> list[tuple[str, str]]:
    found = set()
    for page in PAGES:
        text = page.read_text()
        for match in (*COMMAND.finditer(text), *INLINE.finditer(text)):
            found.add((page.name, match.group(1).strip()))
    return sorted(found)


@pytest.mark.parametrize(("page", "command"), commands())
def test_every_command_in_the_docs_is_understood(page: str, command: str) -> None:
    """Each word that names a command and each option is known; nothing is carried out."""
    words = command.split()
    names = [word for word in words if re.fullmatch(r"[a-z]+(-[a-z]+)*", word)]
    options = [word for word in words if word.startswith("--")]
    depth = 2 if len(names) > 1 and CliRunner().invoke(
        cli, [names[0], names[1], "--help"]).exit_code == 0 else 1  # fmt: skip
    answer = CliRunner().invoke(cli, [*names[:depth], "--help"])
    assert answer.exit_code == 0, f"{page}: provisioner {command}: {answer.output}"
    for option in options:
        assert option in answer.output, f"{page}: {option} is no option of {' '.join(names)}"


def test_every_make_target_in_the_docs_exists() -> None:
    known = set(re.findall(r"^([a-z-]+)(?: [a-z-]+)*:", (ROOT / "Makefile").read_text(), re.M))
    known |= {"web", "vm", "integration"}
    for page in PAGES:
        for block in re.findall(r"`([^`]+)`|^(make .*)$", page.read_text(), re.M):
            for target in TARGET.findall(" ".join(block)):
                assert target in known, f"{page.name}: make {target}"


def test_the_readme_shows_the_path_of_the_table() -> None:
    path = " → ".join(row.verb for row in STAGES if row.verb not in ("renew", "retire"))
    assert f"{path} → renew | retire" in (ROOT / "README.md").read_text()


def test_the_readme_fits_on_a_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 60


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
