"""The house's rules, read from the code itself with `ast`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "provisioner"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts)

# From the doors down to the bottom; a part imports its own floor and those below.
FLOORS = (
    ("__main__", "cli"),
    ("lab", "serve", "doctor"),
    ("api", "web"),
    ("documents", "contest"),
    ("jobs",),
    ("workshop", "accounts"),
    ("stages", "fleet", "checks"),
    ("agent", "handin"),
    ("education", "entry", "clock"),
    ("netboot", "swarm", "store", "release"),
    ("model",),
    (
        "templating",
        "yaml_file",
        "secret_file",
        "plain_log",
        "run",
        "lifecycle",
        "settings",
        "errors",
        "asset_tag",
        "pupil",
        "tls",
    ),
)
FLOOR_OF = {part: number for number, floor in enumerate(FLOORS) for part in floor}

# The agent runs with what Debian gives the live environment, and with these parts of ours.
AGENT_MAY = ("agent", "model", "errors", "clock", "plain_log", "run", "lifecycle", "swarm",
             "release.manifest", "release.chunks", "release.grubcfg", "release.bios",
             "release.bootenv")  # fmt: skip
AGENT_LIBRARIES = {"pydantic", "pydantic_core", "cryptography", "urllib3", "PIL"}

# One library, one home.
HOMES = {
    "subprocess": {"run"},
    "paramiko": {"checks"},
    "ansible_runner": {"stages.ansible"},
    "libtorrent": {"swarm.session"},
    "jinja2": {"templating"},
    "yaml": {"yaml_file"},
    "dbos": {"jobs"},
    "pyfastcdc": {"release.chunking", "release.patch"},
    "ctypes": {"swarm.zstd", "fleet.site_files"},
    "click": {"cli"},
    "fastjsonschema": {"entry.sb3"},
    "cairosvg": {"contest.stage"},
    "weasyprint": {"documents.pdf"},
    "segno": {"documents.qr"},
    "libzim": {"education.zim"},
    "sqlite3": {"education.kolibri", "education.kinds"},
    "xlsxwriter": {"documents.tables"},
    "argon2": {"accounts.passwords"},
}
MAX_LINES = 400
MAX_FUNCTION_LINES = 60


def module(path: Path) -> str:
    """`stages.image` for provisioner/stages/image.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path: Path) -> Iterator[str]:
    """Full names of everything that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> Iterator[str]:
    for name in imports(path):
        if name.startswith("provisioner."):
            yield name.removeprefix("provisioner.")


@pytest.mark.parametrize("path", FILES, ids=module)
def test_imports_point_down(path: Path) -> None:
    part = module(path).split(".")[0]
    if not part:
        return
    for name in own_imports(path):
        other = name.split(".")[0]
        assert FLOOR_OF[other] >= FLOOR_OF[part], f"{module(path)} imports {name} from above"


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("agent/**/*.py")), ids=module)
def test_agent_needs_only_what_the_live_environment_has(path: Path) -> None:
    for name in imports(path):
        top = name.split(".")[0]
        if top == "provisioner":
            inner = name.removeprefix("provisioner.")
            assert inner.startswith(AGENT_MAY) or inner == "provisioner", name
        else:
            assert top in AGENT_LIBRARIES or _is_standard(top), f"{module(path)} imports {name}"


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("pupil/*.py")), ids=module)
def test_what_runs_on_a_pupils_pc_needs_pythons_own_library_only(path: Path) -> None:
    for name in imports(path):
        top = name.split(".")[0]
        inner = name.removeprefix("provisioner.")
        ours = inner.startswith(("pupil", "errors.", "run."))
        assert ours if top == "provisioner" else _is_standard(top), f"{module(path)}: {name}"


HANDING_IN = sorted([*PACKAGE.glob("entry/*.py"), *PACKAGE.glob("handin/*.py")])


@pytest.mark.parametrize("path", HANDING_IN, ids=module)
def test_handing_in_needs_only_what_the_contests_layer_brings(path: Path) -> None:
    for name in imports(path):
        top, inner = name.split(".")[0], name.removeprefix("provisioner.")
        if top == "provisioner":
            assert inner.startswith(("entry", "handin", "model", "errors", "asset_tag", "clock")), (
                name
            )
        else:
            assert top in {"pydantic", "urllib3", "fastjsonschema"} or _is_standard(top), name


@pytest.mark.parametrize("path", FILES, ids=module)
def test_one_library_one_home(path: Path) -> None:
    for name in imports(path):
        homes = HOMES.get(name.split(".")[0])
        if homes is not None and not name.startswith("subprocess.") and name != "subprocess":
            assert module(path).startswith(tuple(homes)), f"{module(path)} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=module)
def test_only_run_starts_processes(path: Path) -> None:
    if module(path) == "run":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            called = f"{node.value.id}.{node.attr}"
            assert called not in {
                "subprocess.run", "subprocess.call", "subprocess.check_output",
                "subprocess.check_call", "os.system", "os.popen",
            }, f"{module(path)} calls {called}"  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=module)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES, f"{module(path)} is too long: split it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{module(path)}:{node.name} has {lines} lines"


@pytest.mark.parametrize("path", FILES, ids=module)
def test_modules_say_what_they_are(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{module(path)} has no docstring"


def test_one_spelling() -> None:
    """British spelling, as everywhere in this project: enrol, licence (the noun)."""
    wrong = "en" + "roll_"
    for path in FILES:
        assert wrong not in path.read_text(), path


def _is_standard(name: str) -> bool:
    import sys

    return name in sys.stdlib_module_names or name == "__future__"
