"""A new school's folder: right from the first moment, or not there at all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from provisioner.errors import ConfigError, WrongStateError
from provisioner.fleet.difference import differences, last_configured, note_configured, plain
from provisioner.fleet.new_school import SCHEMA, Draft, new_school
from provisioner.fleet.school import check_school, load_school
from provisioner.model.school import School, SchoolSettings
from tests.unit.fleet.conftest import INVENTORIES

DRAFT = Draft(name_en="Li's {{ School }}: #1", name_zh="李家小学", province="Yunnan")


def test_written_and_read_back(tmp_path: Path) -> None:
    school = new_school(tmp_path, "li-school", DRAFT)
    assert check_school(school.folder) == []
    assert school.settings.name.en == "Li's {{ School }}: #1"
    assert len(school.seats) == 25
    assert sorted(path.name for path in tmp_path.iterdir()) == ["li-school", SCHEMA]
    assert "yaml-language-server" in (school.folder / "school.yml").read_text().splitlines()[0]


def test_every_wish_stands_there_and_is_right(tmp_path: Path) -> None:
    """With the “#” taken away, the comments are a school that wishes for everything."""
    school = new_school(tmp_path, "li-school", DRAFT)
    path = school.folder / "school.yml"
    must, _, wishes = path.read_text().partition("# is undone by the next configuring.\n#\n")
    wishes = re.sub(r"^# ", "", wishes, flags=re.MULTILINE).replace(
        "sha256: …", f"sha256: {'a' * 64}"
    )
    path.write_text(must + wishes)
    for picture in ("wallpaper.png", "sponsor.png"):
        (school.folder / picture).write_bytes(b"")
    assert check_school(school.folder) == []
    wished = load_school(school.folder).settings
    assert wished.model_fields_set == set(SchoolSettings.model_fields)


def test_never_over_another(tmp_path: Path) -> None:
    new_school(tmp_path, "li-school", DRAFT)
    before = (tmp_path / "li-school/school.yml").read_bytes()
    with pytest.raises(WrongStateError, match="already"):
        new_school(tmp_path, "li-school", DRAFT)
    assert (tmp_path / "li-school/school.yml").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "draft", "said"),
    [("Li School", DRAFT, "short name"), ("../x", DRAFT, "short name"),
     ("li", DRAFT.model_copy(update={"province": "Yunan"}), "“Yunan” is no province")],
)  # fmt: skip
def test_nothing_is_left_of_what_cannot_be(
    tmp_path: Path, name: str, draft: Draft, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        new_school(tmp_path, name, draft)
    assert ".new" not in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_what_differs(school: School) -> None:
    other = load_school(INVENTORIES / "high-pasture")
    found = {one.field: one for one in differences(plain(school.settings), plain(other.settings))}
    assert (found["homes"].before, found["homes"].after) == ("reset-per-class", "kept")
    assert found["printer.name"].after == "–"
    assert found["network.fixed.first"].before == "–"
    assert found["hours.times[2].days"].after == "sun"
    assert "language" not in found
    assert differences(plain(school.settings), plain(school.settings)) == []


def test_what_machines_were_given(school: School, tmp_path: Path) -> None:
    for tag, broken in (("PC-0002", False), ("PC-0001", False), ("PC-0003", True)):
        folder = tmp_path / tag / "configure"
        folder.mkdir(parents=True)
        note_configured(school, tag, "pupil-01", "a" * 64, folder)
        if broken:
            (folder / "configured.json").write_text("{")
    found = last_configured(tmp_path, school.id)
    assert [given.asset_tag for given in found] == ["PC-0001", "PC-0002"]
    assert differences(found[0].settings, plain(school.settings)) == []
    assert last_configured(tmp_path, "another-school") == []
