"""A lock pins a build to package files, and says when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.errors import ConfigError, NotFoundError, StationError
from provisioner.release import packages
from provisioner.release.cache import Cache
from provisioner.release.catalog import Catalog
from provisioner.release.lock import LOCK, Lock, LockedDeb, find_lock, read_lock, write_lock
from provisioner.release.packages import Deb, PrivateApt, parse_gone, pinned
from provisioner.release.recipe import load_recipe
from provisioner.release.sources import Mirror
from provisioner.run import Finished
from tests.unit.release.conftest import BASE, WriteRecipe

A = "a" * 64


def deb(file: str) -> LockedDeb:
    return LockedDeb(file=file, size=300, sha256=A)


def a_lock(**other: object) -> Lock:
    files = ("python3_3.13-1_amd64.deb", "systemd_1%3a257-1_amd64.deb")
    values = {
        "recipe": "base", "suite": "trixie", "source_date_epoch": 5,
        "packages": tuple(map(deb, files)), "loaders": (deb("shim_1_amd64.deb"),),
    } | other  # fmt: skip
    return Lock.model_validate(values)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    lock = a_lock(parts={"blocks": A})
    write_lock(tmp_path, lock)
    assert read_lock(tmp_path / LOCK) == lock
    lines = (tmp_path / LOCK).read_text().splitlines()
    assert sum("python3_3.13" in line for line in lines) == 1
    assert '"size": 300' in next(line for line in lines if "python3_3.13" in line)


def test_it_fits_its_recipe(write_recipe: WriteRecipe) -> None:
    a_lock().check(load_recipe(write_recipe("base", BASE)))


def test_another_recipes_lock(write_recipe: WriteRecipe) -> None:
    recipe = load_recipe(write_recipe("base", BASE))
    with pytest.raises(ConfigError, match="is for lab of trixie"):
        a_lock(recipe="lab").check(recipe)


def test_a_package_that_the_recipe_got_since(write_recipe: WriteRecipe) -> None:
    recipe = load_recipe(
        write_recipe("base", BASE.replace("  - systemd\n", "  - systemd\n  - vim\n"))
    )
    with pytest.raises(ConfigError, match="does not have: vim"):
        a_lock().check(recipe)


def test_parts_must_be_the_same() -> None:
    lock = a_lock(parts={"blocks": A})
    lock.check_parts({"blocks": A})
    for other in ({}, {"blocks": "b" * 64}, {"blocks": A, "more": A}):
        with pytest.raises(ConfigError, match="not those of the lock"):
            lock.check_parts(other)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"recipe": 1}', "\x00"])
def test_what_is_no_lock(tmp_path: Path, text: str) -> None:
    (tmp_path / LOCK).write_text(text)
    with pytest.raises(ConfigError):
        read_lock(tmp_path / LOCK)


@pytest.mark.parametrize(
    "file", ["../x_1_all.deb", "x.deb", "a/x_1_all.deb", "x_1_all.deb.sh", "-o_1_a.deb"]
)
def test_a_file_name_that_is_none(file: str) -> None:
    with pytest.raises(ValueError, match="String should match"):
        deb(file)


def test_a_release_without_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        find_lock("education@2026.1", Catalog(tmp_path))
    with pytest.raises(NotFoundError):
        read_lock(tmp_path / LOCK)


def test_apts_own_form_of_a_version() -> None:
    assert pinned("systemd_1%3a257-1_amd64.deb") == "systemd=1:257-1"


def test_what_the_archive_no_longer_has() -> None:
    text = "E: Version '1.2' for 'acl' was not found\nE: Unable to locate package gone\n"
    assert parse_gone(text) == ["acl 1.2", "gone"]
    assert parse_gone("E: something else") == []


def an_apt(folder: Path, offline: bool = False) -> PrivateApt:
    mirror = Mirror("http://m.example/debian")
    return PrivateApt(Cache(folder), mirror, "trixie", ["main"], [], offline)


def test_versions_that_are_gone_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "E: Version '2.3-1' for 'acl' was not found\n"
    monkeypatch.setattr(packages, "run", lambda *_, **__: Finished((), 100, "", said))
    with pytest.raises(StationError, match=r"no longer has acl 2\.3-1"):
        an_apt(tmp_path).download_exactly([Deb("acl_2.3-1_amd64.deb", 300, A)])


def test_offline_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "run", lambda *_, **__: pytest.fail("must not start"))
    apt = an_apt(tmp_path, offline=True)
    with pytest.raises(StationError, match="no package lists"):
        apt.update()
    with pytest.raises(StationError, match=r"offline: acl_2\.3-1_amd64\.deb"):
        apt.download(["acl"], [Deb("acl_2.3-1_amd64.deb", 300, A)])


def test_offline_the_cache_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "run", lambda *_, **__: pytest.fail("must not start"))
    apt = an_apt(tmp_path, offline=True)
    (tmp_path / "debs/acl_2.3-1_amd64.deb").write_bytes(b"abc")
    found = apt.download_exactly([Deb("acl_2.3-1_amd64.deb", 3, A)])
    assert [path.name for path in found.paths] == ["acl_2.3-1_amd64.deb"]
