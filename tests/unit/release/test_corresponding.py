"""Corresponding source: which sources, and which of them the archive no longer has."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.errors import ConfigError, NotFoundError, StationError
from provisioner.release.components import Item
from provisioner.release.corresponding import fetch_sources, sources_of
from provisioner.release.sbom import bill_of_materials, write_bill

ITEMS = (
    Item("libacl1", "2.3-1+b1", ("GPL-2",), source="acl 2.3-1"),
    Item("acl", "2.3-1+b1", ("GPL-2",), source="acl 2.3-1"),
    Item("mawk", "1.3", ("GPL-2",), source="mawk 1.3"),
    Item("left-pad", "1", ("WTFPL",), "npm"),
)


@pytest.fixture
def bill(tmp_path: Path) -> Path:
    write_bill(tmp_path / "bill.json", bill_of_materials("x", "trixie", 0, ITEMS))
    return tmp_path / "bill.json"


def test_each_source_once(bill: Path) -> None:
    assert sources_of(bill) == ["acl=2.3-1", "mawk=1.3"]
    assert sources_of(bill, ["libacl1"]) == ["acl=2.3-1"]
    assert sources_of(bill, ["left-pad"]) == []


def test_a_name_that_is_not_there(bill: Path) -> None:
    with pytest.raises(NotFoundError, match="mawk"):
        sources_of(bill, ["mawkk"])


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"components": 1}', '{"components": [1]}'])
def test_what_is_no_bill(tmp_path: Path, text: str) -> None:
    (tmp_path / "bill.json").write_text(text)
    with pytest.raises(ConfigError, match="no bill of materials"):
        sources_of(tmp_path / "bill.json")


class Archive:
    """Has the sources that it is told, or says so and gives nothing."""

    def __init__(self, *has: str, lies: bool = False) -> None:
        self._has, self._lies = has, lies

    def update(self) -> None:
        pass

    def source(self, source: str, into: Path) -> bool:
        name = source.partition("=")[0]
        if source in self._has:
            (into / f"{name}_1.dsc").write_text("")
        return source in self._has or self._lies


def test_what_is_gone_is_said(tmp_path: Path) -> None:
    gone = fetch_sources(Archive("acl=2.3-1"), ["acl=2.3-1", "mawk=1.3"], tmp_path)  # type: ignore[arg-type]
    assert gone == ["mawk=1.3"]


def test_an_archive_that_says_yes_and_gives_nothing(tmp_path: Path) -> None:
    with pytest.raises(StationError, match="none of the 1 sources"):
        fetch_sources(Archive(lies=True), ["mawk=1.3"], tmp_path)  # type: ignore[arg-type]
