"""A repository of just the resolved packages."""

from __future__ import annotations

import io
import tarfile
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


def a_deb(control_text: str, packing: str) -> bytes:
    """The first two members of a package, as deb(5) has them."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode=f"w:{packing}") as archive:  # type: ignore[call-overload]
        entry = tarfile.TarInfo("./control")
        entry.size = len(control_text.encode())
        archive.addfile(entry, io.BytesIO(control_text.encode()))
    members = ((b"debian-binary", b"2.0\n"), (f"control.tar.{packing}".encode(), inner.getvalue()))
    return b"!<arch>\n" + b"".join(
        b"%-16s%-12d%-6d%-6d%-8d%-10d`\n" % (name, 0, 0, 0, 0o644, len(data))
        + data + b"\n" * (len(data) % 2)
        for name, data in members
    )  # fmt: skip


@pytest.mark.parametrize("packing", ["gz", "xz"])
def test_a_package_speaks_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packing: str
) -> None:
    """A thousand packages, and no program started for any of them."""
    monkeypatch.setattr(repository, "run", lambda *_, **__: pytest.fail("must not start"))
    text = f"{ACL} 访问\n"
    (tmp_path / "acl_1_all.deb").write_bytes(a_deb(text, packing))
    assert control(tmp_path / "acl_1_all.deb") == text


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"!<arch>\n", a_deb("x", "xz")[:-40], a_deb("x", "gz")[:90]]
)
def test_what_is_no_package_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    from provisioner.run import Finished

    monkeypatch.setattr(repository, "run", lambda *_, **__: Finished((), 2, "", "not a package"))
    (tmp_path / "acl_1_all.deb").write_bytes(content)
    with pytest.raises(StationError, match="damaged"):
        control(tmp_path / "acl_1_all.deb")
