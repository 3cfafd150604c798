"""Every promise has a check, every check a sentence in both languages."""

from __future__ import annotations

import ast
from pathlib import Path

from provisioner.checks import catalog
from provisioner.checks.catalog import CATALOG, check_of

CHECKS = Path(catalog.__file__).parent


def test_ids_are_the_test_functions() -> None:
    functions = [
        node.name
        for path in CHECKS.glob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert len(functions) == len(set(functions))
    assert sorted(check.id for check in CATALOG) == sorted(
        name.removeprefix("test_").replace("_", "-") for name in functions
    )


def test_both_languages() -> None:
    for check in CATALOG:
        assert check.en.isascii(), check.id
        assert check.en.endswith(".")
        assert check.zh.endswith("。")
        assert not check.zh.isascii()
    assert len({check.en for check in CATALOG}) == len({check.zh for check in CATALOG})
    assert len({check.en for check in CATALOG}) == len(CATALOG)
    assert check_of("clock").en == "Its clock is right."
