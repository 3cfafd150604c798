"""The contest's layer: what is in it, and that only a change of it makes a new one."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from provisioner.contest.folder import Contest
from provisioner.contest.layer import IMAGE, lay_out, publish_layer
from provisioner.model.release import ReleaseKind
from provisioner.settings import Settings
from provisioner.workshop.station import Station

DAY = datetime.date(2027, 4, 1)
PLAYBOOKS = Settings().playbooks_dir


def test_it_holds_what_sysext_merges_and_nothing_else(contest: Contest, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    lay_out(contest, tree, PLAYBOOKS)
    assert {path.name for path in tree.iterdir()} == {"usr"}
    fits = tree / "usr/lib/extension-release.d/extension-release.contest"
    assert fits.read_text() == "ID=debian\nVERSION_ID=13\n"
    card = json.loads((tree / "usr/share/classroom/contest/contest.json").read_text())
    assert card["name"] == "contest-2027"
    assert "schools" not in card
    play = tree / "usr/share/classroom/contest-play"
    assert (play / "contest.yml").is_file()
    assert (play / "roles/contest/tasks/main.yml").is_file()
    for name in ("contest-home", "contest-network", "contest-reset", "contest-look"):
        assert (tree / "usr/lib/classroom" / name).stat().st_mode & 0o777 == 0o755
    assert not list(tree.rglob("__pycache__"))


def test_its_code_runs_beside_the_agents_own_files(contest: Contest, tmp_path: Path) -> None:
    """As on a machine: the agent's parts of the program from the release, ours merged over them."""
    tree = tmp_path / "tree"
    lay_out(contest, tree, PLAYBOOKS)
    program = tree / "usr/lib/classroom/provisioner"
    ours = Path(__file__).parents[3] / "provisioner"
    for name in ("__init__.py", "errors.py", "run.py"):
        shutil.copyfile(ours / name, program / name)
    for path in (ours / "model").glob("*.py"):
        shutil.copyfile(path, program / "model" / path.name)
    words = "import provisioner.handin.__main__ as m; print(m.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(program.parent)}
    found = subprocess.run([sys.executable, "-c", words], env=environment, cwd=tmp_path,
                           capture_output=True, text=True, check=False)  # fmt: skip
    assert found.stdout.strip() == str(program / "handin/__main__.py"), found.stderr


def test_the_editor_that_the_rules_demand_comes_along(contest: Contest, tmp_path: Path) -> None:
    program = tmp_path / "editor/usr/bin/classroom-blocks"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "editor/etc").mkdir()
    lay_out(contest, tmp_path / "tree", PLAYBOOKS, tmp_path / "editor")
    assert (tmp_path / "tree/usr/bin/classroom-blocks").stat().st_mode & 0o777 == 0o755
    assert not (tmp_path / "tree/etc").exists()


@pytest.mark.skipif(not shutil.which("mksquashfs"), reason="squashfs-tools")
def test_published_once_and_again_only_after_a_change(contest: Contest, station: Station) -> None:
    first = publish_layer(contest, station.catalog, station.key, DAY, PLAYBOOKS)
    assert (first.id, first.kind, first.over) == ("contest-2027@2027.1", ReleaseKind.LAYER,
                                                  "education")  # fmt: skip
    station.catalog.verify(first.id, station.key.public)
    assert publish_layer(contest, station.catalog, station.key, DAY, PLAYBOOKS) == first
    (contest.folder / "rules.en.md").write_text("# Other rules\n")
    second = publish_layer(contest, station.catalog, station.key, DAY, PLAYBOOKS)
    assert second.id == "contest-2027@2027.2"
    assert second.file(IMAGE).sha256 != first.file(IMAGE).sha256
    assert not list(station.catalog.root.glob("*.tree"))
