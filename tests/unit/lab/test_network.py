"""Whose run is it, and does its owner live? (Real namespaces: tests/integration.)"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from provisioner.lab import network
from provisioner.lab.network import OWNER_FILE, remove_leftovers, start_ticks


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(network, "dismantle", lambda name, _root: names.append(name))
    return names


def note(root: Path, name: str, pid: int, ticks: int | None) -> None:
    (root / name).mkdir()
    (root / name / OWNER_FILE).write_text(json.dumps({"pid": pid, "start_ticks": ticks}))


def test_start_ticks_are_stable_and_none_for_nobody() -> None:
    assert start_ticks(os.getpid()) == start_ticks(os.getpid())
    assert start_ticks(2**22 + 1) is None


def test_a_living_run_is_left_alone(tmp_path: Path, removed: list[str]) -> None:
    note(tmp_path, "mine", os.getpid(), start_ticks(os.getpid()))
    assert remove_leftovers(tmp_path) == []
    assert removed == []


def test_a_dead_owners_run_is_removed(tmp_path: Path, removed: list[str]) -> None:
    note(tmp_path, "dead", 2**22 + 1, 17)
    assert remove_leftovers(tmp_path) == ["dead"]
    assert removed == ["dead"]


def test_a_process_id_that_was_used_again_is_not_the_owner(
    tmp_path: Path, removed: list[str]
) -> None:
    ticks = start_ticks(os.getpid())
    assert ticks is not None
    note(tmp_path, "reused", os.getpid(), ticks - 1)
    assert remove_leftovers(tmp_path) == ["reused"]


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path, removed: list[str]) -> None:
    (tmp_path / "something").mkdir()
    assert remove_leftovers(tmp_path) == []
    assert remove_leftovers(tmp_path / "absent") == []
