"""The tree must hold just what was resolved."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.errors import ProofMissingError, StationError
from provisioner.release import bootstrap
from provisioner.release.bootstrap import (
    TreePlan,
    check_installed,
    ensure_tree,
    name_and_version,
    parse_status,
)
from provisioner.release.cache import Cache
from provisioner.release.packages import Deb, Packages

STATUS = """\
Package: acl
Status: install ok installed
Version: 2.3-1
Description: lists
 Status: not this line

Package: gone
Status: deinstall ok config-files
Version: 1

Package: zlib1g
Status: install ok installed
Version: 1:1.3+1
"""
FILES = ("acl_2.3-1_amd64.deb", "zlib1g_1%3a1.3+1_amd64.deb")


def resolved(*files: str, folder: Path = Path("/nowhere")) -> Packages:
    return Packages(tuple(Deb(name, 1, "a" * 64) for name in files), folder, ())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS)
    return tmp_path


def test_status() -> None:
    assert parse_status(STATUS) == {"acl": "2.3-1", "zlib1g": "1:1.3+1"}


def test_file_name() -> None:
    assert name_and_version(FILES[1]) == ("zlib1g", "1:1.3+1")


def test_installed_is_resolved(tree: Path) -> None:
    assert check_installed(tree, resolved(*FILES)) == {"acl": "2.3-1", "zlib1g": "1:1.3+1"}


@pytest.mark.parametrize(
    "files", [FILES[:1], (*FILES, "vim_1_amd64.deb"), (FILES[0], "zlib1g_1%3a1.4_amd64.deb")]
)
def test_another_set_is_no_proof(tree: Path, files: tuple[str, ...]) -> None:
    with pytest.raises(ProofMissingError, match="were resolved"):
        check_installed(tree, resolved(*files))


def test_a_damaged_file_in_the_cache_is_found_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "run", lambda *_, **__: pytest.fail("must not start"))
    (tmp_path / FILES[0]).write_bytes(b"!<arch>\n")
    packages = resolved(FILES[0], folder=tmp_path)
    with pytest.raises(StationError, match="damaged"):
        ensure_tree(TreePlan("minbase", "trixie"), packages, Cache(tmp_path / "c"))
    assert not (tmp_path / FILES[0]).exists()
