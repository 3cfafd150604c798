"""What apt says is read exactly, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.errors import CommandError, ConfigError, StationError
from provisioner.release import packages
from provisioner.release.cache import Cache
from provisioner.release.packages import (
    Deb,
    Packages,
    PrivateApt,
    deb_epoch,
    packages_of,
    parse_unknown,
    parse_uris,
)
from provisioner.release.recipe import load_recipe
from provisioner.release.sources import Mirror
from tests.unit.release.conftest import BASE, WriteRecipe

A, B = "a" * 64, "b" * 64
URIS = f"""\
Reading package lists...
The following NEW packages will be installed:
'http://m.example/pool/z/zlib/zlib1g_1.3%2b1_amd64.deb' zlib1g_1%3a1.3+1_amd64.deb 88 SHA256:{B}
'http://m.example/pool/a/acl/acl_2.3-1_amd64.deb' acl_2.3-1_amd64.deb 300 SHA256:{A}
"""


def ar(date: int, member: bytes = b"debian-binary") -> bytes:
    return b"!<arch>\n" + b"%-16s%-12d0     0     100644  4         `\n" % (member, date)


def packages_in(folder: Path, dates: dict[str, int]) -> Packages:
    for name, date in dates.items():
        (folder / name).write_bytes(ar(date))
    return Packages(tuple(Deb(name, 1, A) for name in sorted(dates)), folder, ())


def test_uris_in_a_fixed_order() -> None:
    assert parse_uris(URIS) == (
        Deb("acl_2.3-1_amd64.deb", 300, A),
        Deb("zlib1g_1%3a1.3+1_amd64.deb", 88, B),
    )


def test_another_digest_is_refused() -> None:
    with pytest.raises(StationError, match="unknown way"):
        parse_uris(URIS.replace("SHA256", "MD5Sum"))


@pytest.mark.parametrize(
    "text",
    [
        "E: Unable to locate package sytemd",
        "E: Package 'sytemd' has no installation candidate",
    ],
)
def test_unknown_name(text: str) -> None:
    assert parse_unknown(text) == "sytemd"


def test_other_trouble_is_not_an_unknown_name() -> None:
    assert parse_unknown("E: Unable to correct problems, you have held broken packages.") == ""


def test_epoch_is_the_youngest_packages(tmp_path: Path) -> None:
    found = packages_in(tmp_path, {"a_1_all.deb": 100, "b_1_all.deb": 300, "c_1_all.deb": 200})
    assert found.epoch == 300


def test_a_file_that_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(StationError, match="damaged"):
        deb_epoch(b"<html>")
    with pytest.raises(StationError, match="damaged"):
        deb_epoch(ar(5, b"control.tar.xz"))


def test_key_follows_the_digests(tmp_path: Path) -> None:
    one = Packages((Deb("a_1_all.deb", 1, A),), tmp_path, ())
    other = Packages((Deb("a_1_all.deb", 1, B),), tmp_path, ())
    assert one.key != other.key


class DeadApt(PrivateApt):
    """An apt that knows a few names and refuses one."""

    def __init__(self) -> None:
        pass

    def resolve(self, words: object) -> tuple[Deb, ...]:
        raise CommandError("“apt-get …” exited with 100.\nE: Unable to locate package pyhton3")

    def names(self) -> list[str]:
        return ["python3", "perl"]


def test_unknown_package_names_the_line_and_the_nearest(write_recipe: WriteRecipe) -> None:
    recipe = load_recipe(write_recipe("base", BASE.replace("python3", "pyhton3")))
    with pytest.raises(ConfigError) as caught:
        packages_of(recipe, DeadApt())
    assert caught.value.line == 7
    assert caught.value.field == "packages"
    assert "python3" in caught.value.hint
    assert "pyhton3" in caught.value.message


def test_a_download_that_did_not_happen_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """apt-get replaced by something that exits 0 and does nothing."""
    from provisioner.run import Finished

    monkeypatch.setattr(packages, "run", lambda *_, **__: Finished(("apt-get",), 0, "", ""))
    apt = PrivateApt(Cache(tmp_path), Mirror("http://m.example/debian"), "trixie", ["main"], [])
    with pytest.raises(StationError, match="did not arrive"):
        apt.download(["acl"], [Deb("acl_2.3-1_amd64.deb", 300, A)])


def test_the_stations_own_apt_is_left_alone(tmp_path: Path) -> None:
    PrivateApt(Cache(tmp_path), Mirror("http://m.example/debian"), "trixie", ["main"],
               ['Acquire::http::Proxy "http://p.example"'])  # fmt: skip
    (config,) = tmp_path.glob("apt/*/apt.conf")
    text = config.read_text()
    for name in ("lists", "status"):
        assert f'Dir::State::{name} "{config.parent}' in text
    assert f'Dir::Etc::Parts "{config.parent}/empty/"' in text
    assert "Proxy" in text
