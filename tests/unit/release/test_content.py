"""What of ours goes into an image."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from provisioner.errors import ConfigError, ProofMissingError
from provisioner.release import content
from provisioner.release.content import (
    AGENT_PARTS,
    CONSOLE_SAVED,
    CONSOLE_SETTINGS,
    PACKAGE,
    SETUPCON,
    agent_digest,
    copy_agent,
    enable_units,
    install_links,
    mask_units,
    save_console,
)
from provisioner.release.recipe import load_recipe
from tests.unit.release.conftest import BASE, WriteRecipe

EPOCH = 1_750_000_000
SERVICE = """\
[Unit]
WantedBy=not-this.target
[Install]
# WantedBy=nor-this.target
WantedBy=multi-user.target graphical.target
RequiredBy=network.target
Alias=dbus-org.example.service
"""


def test_the_agent_finds_everything_that_it_imports(tmp_path: Path) -> None:
    """Follow the imports from the agent's first file: each of ours must have been copied."""
    home = tmp_path / "provisioner"
    copy_agent(home)
    todo, seen = [home / "agent/__main__.py"], set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in our_imports(path):
            found = [home / f"{name.replace('.', '/')}{end}" for end in (".py", "/__init__.py")]
            assert any(p.is_file() for p in found), (
                f"{path.name} imports {name}, which is not there"
            )
            todo += [p for p in found if p.is_file()]
    assert len(seen) > 10


def our_imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            module = PACKAGE / node.module.removeprefix("provisioner").lstrip(".").replace(".", "/")
            if module.is_dir():
                inside = {a.name for a in node.names}
                names |= {f"{node.module}.{name}" for name in inside if is_module(module, name)}
            names.add(node.module)
    ours = {name for name in names if name.startswith("provisioner.")}
    return {name.removeprefix("provisioner.") for name in ours}


def is_module(folder: Path, name: str) -> bool:
    return (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()


def test_nothing_of_the_station_goes_along(tmp_path: Path) -> None:
    copy_agent(tmp_path)
    copied = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.py")}
    for name in ("settings.py", "release/build.py", "release/catalog.py", "jobs.py"):
        assert name not in copied
    assert not any(name.startswith(("api/", "cli/", "store/", "stages/")) for name in copied)
    assert not list(tmp_path.rglob("*.pyc"))


def test_agent_digest_follows_the_agent_only(tmp_path: Path) -> None:
    for part in ("errors.py", "agent/main.py", "settings.py"):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        (tmp_path / part).write_text("1")
    first = agent_digest(tmp_path)
    (tmp_path / "settings.py").write_text("2")
    assert agent_digest(tmp_path) == first
    (tmp_path / "agent/main.py").write_text("2")
    assert agent_digest(tmp_path) != first


def test_parts_exist_or_are_announced() -> None:
    missing = {part for part in AGENT_PARTS if not (PACKAGE / part).exists()}
    assert missing <= {"release/chunks.py"}


def test_links_of_an_install_section() -> None:
    assert install_links(SERVICE, "a.service") == [
        "multi-user.target.wants/a.service",
        "graphical.target.wants/a.service",
        "network.target.requires/a.service",
        "dbus-org.example.service",
    ]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    units = tmp_path / "tree/usr/lib/systemd/system"
    units.mkdir(parents=True)
    (units / "ssh.service").write_text(SERVICE)
    return tmp_path / "tree"


def test_enabling_links_into_the_layer_above(
    tree: Path, tmp_path: Path, write_recipe: WriteRecipe
) -> None:
    layer = tmp_path / "layer"
    enable_units(load_recipe(write_recipe("base", BASE)), layer, (layer, tree))
    link = layer / "etc/systemd/system/multi-user.target.wants/ssh.service"
    assert str(link.readlink()) == "/usr/lib/systemd/system/ssh.service"


def test_enabling_what_is_not_there(tmp_path: Path, write_recipe: WriteRecipe) -> None:
    with pytest.raises(ConfigError, match=r"ssh\.service"):
        enable_units(load_recipe(write_recipe("base", BASE)), tmp_path, (tmp_path,))


def test_masking_replaces_a_link(tree: Path) -> None:
    place = tree / "etc/systemd/system/man-db.timer"
    place.parent.mkdir(parents=True)
    place.symlink_to("/usr/lib/systemd/system/man-db.timer")
    mask_units(tree, ["man-db.timer"])
    assert str(place.readlink()) == "/dev/null"


def console(tree: Path) -> Path:
    """A tree with console-setup's files; where setupcon saves its result."""
    for name in (SETUPCON, CONSOLE_SAVED, *CONSOLE_SETTINGS):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
    for name in (SETUPCON, *CONSOLE_SETTINGS):
        (tree / name).touch()
    return tree / CONSOLE_SAVED


def test_a_console_worked_out_at_build_is_younger_than_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = console(tmp_path)
    monkeypatch.setattr(content, "run_inside", lambda *_a, **_k: saved.touch())
    save_console(tmp_path, EPOCH)
    assert saved.stat().st_mtime == EPOCH
    for setting in CONSOLE_SETTINGS:
        assert (tmp_path / setting).stat().st_mtime < EPOCH - 3600


def test_a_setupcon_that_does_nothing_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console(tmp_path)
    monkeypatch.setattr(content, "run_inside", lambda *_a, **_k: None)
    with pytest.raises(ProofMissingError, match="setupcon"):
        save_console(tmp_path, EPOCH)


def test_an_image_without_console_setup_is_left_as_it_is(tmp_path: Path) -> None:
    save_console(tmp_path, EPOCH)
    assert not list(tmp_path.iterdir())
