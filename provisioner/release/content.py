"""What of ours goes into an image: the agent, our files, our units."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import provisioner
from provisioner.errors import ConfigError, ProofMissingError
from provisioner.release.boxed import run_inside
from provisioner.release.cache import key_of
from provisioner.release.recipe import FILES, Recipe, folder_digest
from provisioner.release.tree import copy_files, remove

PACKAGE = Path(provisioner.__file__).parent
# Where the agent lies on a machine; its unit has this folder's parent as PYTHONPATH.
AGENT_HOME = Path("usr/lib/classroom/provisioner")
# The agent and everything of ours that it may import (a test follows its imports).
AGENT_PARTS = (
    "__init__.py",
    "errors.py",
    "plain_log.py",
    "run.py",
    "lifecycle.py",
    "clock.py",
    "model",
    "agent",
    "swarm",
    "release/__init__.py",
    "release/manifest.py",
    "release/chunks.py",
    "release/bios.py",
    "release/bootenv.py",
    "release/grubcfg.py",
)
UNITS = Path("etc/systemd/system")
UNIT_FOLDERS = (UNITS, Path("usr/lib/systemd/system"))
MASKED = Path("/dev/null")
COMPILE_S = 1800
SETUPCON, SETUPCON_S = Path("usr/bin/setupcon"), 120
# What /usr/lib/console-setup/console-setup.sh (package console-setup) compares by time
CONSOLE_SAVED = Path("etc/console-setup/cached_setup_terminal.sh")
CONSOLE_SETTINGS = (Path("etc/default/keyboard"), Path("etc/default/console-setup"))
DAY_S = 86_400


def add_ours(recipe: Recipe, layer: Path, tree: Path) -> None:
    """Put files, agent and unit links into `layer`, which may be `tree` itself or lie over it.

    Raises ConfigError when a unit to be enabled is in neither.
    """
    for source in recipe.sources(FILES):
        copy_files(source, layer)
    add_agent(layer, tree)
    mask_units(layer, recipe.units.mask)
    enable_units(recipe, layer, (layer, tree))
    for stamp in ("etc/.updated", "var/.updated"):
        (layer / stamp).parent.mkdir(parents=True, exist_ok=True)
        (layer / stamp).touch()


def add_agent(layer: Path, tree: Path) -> None:
    """Copy the agent, with compiled files made by the tree's own Python.

    They are of the kind that names its source by content: dates in a packed tree are not those
    of the checkout, and a newer source laid over an old one must never run as the old one.
    """
    home = layer / AGENT_HOME
    copy_agent(home)
    inside = tree / AGENT_HOME
    if inside != home:
        remove(inside.parent)
        shutil.copytree(home, inside)
    run_inside(
        tree, "python3", "-m", "compileall", "-q", "--invalidation-mode", "checked-hash",
        f"/{AGENT_HOME}", timeout_s=COMPILE_S,
        env={"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "", "PYTHONPATH": ""},
    )  # fmt: skip
    if inside != home:
        remove(home)
        inside.rename(home)


def copy_agent(home: Path, package: Path = PACKAGE) -> None:
    """Copy the parts that exist, sources only; the station's own are not among them."""
    ignored = shutil.ignore_patterns("__pycache__")
    for part in AGENT_PARTS:
        source, target = package / part, home / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=ignored, copy_function=shutil.copyfile)
        elif source.is_file():
            shutil.copyfile(source, target)
    (home / "__init__.py").touch()


def agent_digest(package: Path = PACKAGE) -> str:
    """SHA-256 over everything that `copy_agent` copies."""
    parts = []
    for part in AGENT_PARTS:
        source = package / part
        if source.is_dir():
            parts.append(f"{part} {folder_digest(source)}")
        elif source.is_file():
            parts.append(f"{part} {key_of(source.read_text())}")
    return key_of(*parts)


def save_console(tree: Path, epoch: int) -> None:
    """Let `setupcon` work out keyboard and font of the text console now; nothing without it.

    It takes an old PC a minute, and console-setup's own start-up script does it again at each
    start unless its result is younger than the settings. In a packed tree all have one time, and
    a machine with a dead clock battery writes results that are older: so the settings get a time
    of a day before `epoch`.

    Raises ProofMissingError when setupcon left nothing behind.
    """
    if not (tree / SETUPCON).is_file():
        return
    run_inside(tree, "setupcon", "--save-only", "--force", timeout_s=SETUPCON_S)
    saved = tree / CONSOLE_SAVED
    if not saved.is_file():
        raise ProofMissingError("setupcon saved nothing.", "Are kbd and gzip in the recipe?")
    for setting in CONSOLE_SETTINGS:
        if (tree / setting).is_file():
            os.utime(tree / setting, (epoch - DAY_S, epoch - DAY_S))
    os.utime(saved, (epoch, epoch))


def mask_units(layer: Path, units: Iterable[str]) -> None:
    """Keep systemd from ever starting these units."""
    for unit in units:
        target = layer / UNITS / unit
        target.parent.mkdir(parents=True, exist_ok=True)
        remove(target)
        target.symlink_to(MASKED)


def enable_units(recipe: Recipe, layer: Path, where: Sequence[Path]) -> None:
    """Make the links that the units' [Install] sections ask for, as `systemctl enable` does."""
    for unit in recipe.units.enable:
        path = next((p for root in where if (p := _find_unit(root, unit))), None)
        if path is None:
            raise ConfigError(f"No unit “{unit}” in the image.",
                              "Is its package in the recipe, or the file in files/?",
                              file=recipe.file, field="units.enable")  # fmt: skip
        root, inside = path
        for link in install_links((root / inside).read_text(), unit):
            target = layer / UNITS / link
            target.parent.mkdir(parents=True, exist_ok=True)
            remove(target)
            target.symlink_to(f"/{inside}")


def install_links(text: str, unit: str) -> list[str]:
    """Links below /etc/systemd/system that a unit's [Install] section names."""
    section: list[tuple[str, str]] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("["):
            inside = line.strip() == "[Install]"
        elif inside and "=" in line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            section.append((key.strip(), value.strip()))
    links = []
    for key, value in section:
        for word in value.split():
            if key == "Alias":
                links.append(word)
            elif key in ("WantedBy", "RequiredBy"):
                kind = "wants" if key == "WantedBy" else "requires"
                links.append(f"{word}.{kind}/{unit}")
    return links


def _find_unit(root: Path, unit: str) -> tuple[Path, Path] | None:
    for folder in UNIT_FOLDERS:
        path = root / folder / unit
        if path.is_file() and not path.is_symlink():
            return root, folder / unit
    return None
