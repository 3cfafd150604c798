"""The pupil's folder: what is on the disk after each thing that can go wrong."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path

import pytest

from provisioner.errors import NotFoundError
from provisioner.pupil.sb3 import NotAProjectError
from provisioner.pupil.works import SaveError, Works, clean_title, write_durably
from tests import blocks_factory


@pytest.fixture
def works(tmp_path: Path) -> Works:
    return Works(tmp_path / "home/作品", tmp_path / "state", tmp_path / "home")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return blocks_factory.make_project("scratch-2024", tmp_path / "project.sb3")


def test_a_new_work_comes_to_the_disk_with_its_first_save(works: Works, project: Path) -> None:
    work = works.new("我的作品")
    assert works.list() == []
    path = works.save(work, project.read_bytes())
    assert path == works.folder / "我的作品.sb3"
    assert path.read_bytes() == project.read_bytes()
    assert works.content(work) == project.read_bytes()


def test_nothing_is_overwritten_by_a_work_that_has_the_same_name(
    works: Works, project: Path, tmp_path: Path
) -> None:
    first = works.save(works.new("猫"), project.read_bytes())
    (tmp_path / "stick").mkdir()
    other = blocks_factory.make_project("turbowarp", tmp_path / "stick/猫.sb3")
    from_stick = works.open_file(other)
    second = works.save(from_stick, other.read_bytes())
    assert second.name == "猫 2.sb3"
    assert first.read_bytes() == project.read_bytes()


def test_a_file_of_the_pupils_own_is_saved_in_place(works: Works, project: Path) -> None:
    desktop = works.folder.parent / "桌面"
    desktop.mkdir()
    mine = desktop / "画.sb3"
    mine.write_bytes(project.read_bytes())
    work = works.open_file(mine)
    changed = blocks_factory.make_project("scratch-2026", project.with_name("new.sb3"))
    assert works.save(work, changed.read_bytes()) == mine
    assert mine.read_bytes() == changed.read_bytes()
    earlier = desktop / ".earlier/画.sb3"
    assert earlier.read_bytes() == project.read_bytes(), "the work as it was before is kept"


def test_the_file_chooser_finds_the_work_that_was_chosen(works: Works, project: Path) -> None:
    path = works.save(works.new("球"), project.read_bytes())
    digest = hashlib.sha256(project.read_bytes()).hexdigest()
    again = Works(works.folder, works.folder.parent / "state2").new("球", digest)
    assert again.path == path
    assert works.new("球", "0" * 64).path is None


def test_opening_a_work_twice_is_one_work(works: Works, project: Path) -> None:
    path = works.save(works.new("球"), project.read_bytes())
    fresh = Works(works.folder, works.folder.parent / "state2")
    assert fresh.open_file(path) is fresh.open_file(path)


def test_a_save_that_is_no_project_leaves_the_old_file(works: Works, project: Path) -> None:
    work = works.new("球")
    path = works.save(work, project.read_bytes())
    for wrong in (b"", b"PK\x03\x04 half", project.read_bytes()[:-40]):
        with pytest.raises(NotAProjectError):
            works.save(work, wrong)
    assert path.read_bytes() == project.read_bytes()


def test_a_full_disk_leaves_the_old_file_and_says_so(
    works: Works, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = works.new("球")
    path = works.save(work, project.read_bytes())
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SaveError) as caught:
        works.save(work, blocks_factory.make_project("turbowarp", project).read_bytes())
    assert caught.value.kind == "full"
    assert path.read_bytes() == before
    assert [p.name for p in works.folder.iterdir() if p.is_file()] == ["球.sb3"]


def test_a_save_reaches_the_disk_before_it_takes_the_old_files_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order that a power cut asks for: content, then name, then folder."""
    steps: list[str] = []
    sync, replace = os.fsync, Path.replace

    def noted_sync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "content")
        sync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        steps.append("name")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_durably(tmp_path / "work.sb3", b"new")
    assert steps == ["content", "name", "folder"]


def test_what_a_power_cut_left_half_written_goes(tmp_path: Path) -> None:
    folder = tmp_path / "作品"
    folder.mkdir()
    (folder / ".球.sb3.part").write_bytes(b"half")
    Works(folder, tmp_path / "state")
    assert list(folder.iterdir()) == []


def test_after_a_power_cut_the_work_comes_back_and_after_closing_it_does_not(
    works: Works, project: Path, tmp_path: Path
) -> None:
    path = works.save(works.new("球"), project.read_bytes())
    assert Works(works.folder, tmp_path / "state").interrupted() == path
    works.closed_cleanly()
    assert Works(works.folder, tmp_path / "state").interrupted() is None
    (tmp_path / "state/last-work.json").write_text("{ half")
    assert Works(works.folder, tmp_path / "state").interrupted() is None


def test_renaming_renames_the_file_to_the_nearest_free_name(works: Works, project: Path) -> None:
    works.save(works.new("猫"), project.read_bytes())
    work = works.new("狗")
    works.save(work, project.read_bytes())
    assert works.rename(work, "猫") == "猫 2"
    assert sorted(p.name for p in works.list()) == ["猫 2.sb3", "猫.sb3"]


@pytest.mark.parametrize(
    ("title", "name"),
    [("接苹果", "接苹果"), ("../../etc/passwd", "_.._etc_passwd"), ("  a\n\tb ", "a b"),
     ("", "作品"), ("...", "作品"), (".hidden", "hidden"), ("a/b\\c:d", "a_b_c_d"),
     ("长" * 200, "长" * 40), ("a\u202eb", "ab")],
)  # fmt: skip
def test_any_title_becomes_a_name_that_any_disk_can_hold(title: str, name: str) -> None:
    assert clean_title(title) == name


def test_what_cannot_be_opened_is_said(works: Works, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.sb3"
    wrong.write_bytes(b"no project")
    with pytest.raises(NotAProjectError):
        works.open_file(wrong)
    with pytest.raises(NotFoundError):
        works.open_file(tmp_path / "gone.sb3")
    with pytest.raises(NotFoundError):
        works.get("0" * 24)
