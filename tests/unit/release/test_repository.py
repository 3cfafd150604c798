"""A repository of just the resolved packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.errors import StationError
from provisioner.release import repository
from provisioner.release.packages import Deb, Packages
from provisioner.release.repository import control, entry, make_repository, release_file

A = "a" * 64
ACL = "Package: acl\nVersion: 2.3-1\nSHA256: 0000\nDescription: lists\n of access\n"


def test_an_entry_trusts_our_digest_and_not_the_packages_own() -> None:
    text = entry(ACL, Deb("acl_2.3-1_amd64.deb", 300, A))
    assert text.count("SHA256:") == 1
    assert f"SHA256: {A}\n" in text
    assert "Filename: ./acl_2.3-1_amd64.deb\n" in text
    assert "\n of access\n" in text
    assert text.endswith("\n\n")


def test_the_suite_is_named() -> None:
    """mmdebstrap picks the essential packages by it."""
    assert "Codename: trixie\n" in release_file("trixie", b"Package: acl\n")


def test_only_the_resolved_packages_are_in_it(tmp_path: Path) -> None:
    debs = tmp_path / "debs"
    debs.mkdir()
    for name in ("acl_2.3-1_amd64.deb", "other_1_all.deb"):
        (debs / name).write_bytes(b"x")
    packages = Packages((Deb("acl_2.3-1_amd64.deb", 1, A),), debs, ())
    line = make_repository(packages, "trixie", tmp_path / "repo", lambda _path: ACL)
    assert line == f"deb [trusted=yes] copy:{tmp_path}/repo ./"
    names = sorted(path.name for path in (tmp_path / "repo").iterdir())
    assert names == ["Packages", "Release", "acl_2.3-1_amd64.deb"]


def test_what_is_no_package_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from provisioner.run import Finished

    monkeypatch.setattr(repository, "run", lambda *_, **__: Finished((), 2, "", "not a package"))
    with pytest.raises(StationError, match="damaged"):
        control(tmp_path / "acl_1_all.deb")
