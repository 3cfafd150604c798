"""Every text that the dashboard can say: from its templates and from its code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from jinja2.ext import extract_from_ast

from provisioner import yaml_file
from provisioner.agent import words as agent_words
from provisioner.stages.diagnose import REQUIRED_CHECKS
from provisioner.templating import environment, templates_folder

PACKAGE = Path(__file__).parents[3] / "provisioner"
# Functions whose first argument is a text: where it is written, and where it is shown.
_IN_CODE = {"mark", "text"}


def all_texts() -> set[str]:
    return {*in_templates(), *in_code(), *steps_of_machines(), *tasks_of_playbooks()}


def in_templates() -> Iterator[str]:
    for path in sorted((templates_folder() / "web").glob("*.j2")):
        tree = environment().parse(path.read_text())
        for _line, _function, message in extract_from_ast(tree, ("_",)):
            text = message[0] if isinstance(message, tuple) else message
            if text is not None:
                yield text


def in_code() -> Iterator[str]:
    for path in sorted((PACKAGE / "web").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and _name(node.func) in _IN_CODE:
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield first.value


def steps_of_machines() -> Iterator[str]:
    """What machines say that they are doing; it comes to the station in English."""
    yield from (step.en for step in agent_words.STEPS.values())


def tasks_of_playbooks() -> Iterator[str]:
    """What Ansible says that it is doing to a machine."""
    for path in sorted((PACKAGE.parent / "playbooks/roles").glob("*/*/main.yml")):
        if path.parent.name in ("tasks", "handlers"):
            tasks, _ = yaml_file.load_plain(path)
            yield from (task["name"] for task in tasks)
    plays, _ = yaml_file.load_plain(PACKAGE.parent / "playbooks/site.yml")
    yield from (task["name"] for play in plays for task in play["tasks"])


def checked_parts() -> set[str]:
    """Every check of a part that a machine may report."""
    found = set(REQUIRED_CHECKS)
    for path in (PACKAGE / "agent").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _name(node.func) == "_check" and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    found.add(str(first.value))
    return found


def noted_kinds() -> set[str]:
    """Every kind of event that any part of the program notes."""
    kinds = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _name(node.func) == "note" and len(node.args) > 1:
                kind = node.args[1]
                assert isinstance(kind, ast.Constant), f"{path}:{node.lineno}"
                kinds.add(str(kind.value))
    return kinds


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
