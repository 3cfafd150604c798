"""A layer holds what sysext merges, and says over which system."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.errors import ConfigError, ProofMissingError
from provisioner.release.layer import FITS, below_of, check_merged, write_fits
from provisioner.release.recipe import load_recipe
from tests.unit.release.conftest import BASE, CHILD, WriteRecipe

OS = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nID=debian\n'


def test_it_names_the_system_that_it_fits(tmp_path: Path) -> None:
    write_fits("contest", tmp_path, OS)
    assert (tmp_path / FITS.format(name="contest")).read_text() == "ID=debian\nVERSION_ID=13\n"


def test_a_layer_that_fits_anything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProofMissingError):
        write_fits("contest", tmp_path, "ID=debian\n")


def test_what_sysext_would_leave_out(tmp_path: Path, write_recipe: WriteRecipe) -> None:
    recipe = load_recipe(write_recipe("base", BASE))
    (tmp_path / "tree/usr/bin").mkdir(parents=True)
    (tmp_path / "tree/etc/empty").mkdir(parents=True)
    check_merged(recipe, tmp_path / "tree")
    assert [path.name for path in (tmp_path / "tree").iterdir()] == ["usr"]
    (tmp_path / "tree/etc").mkdir()
    (tmp_path / "tree/etc/x").write_text("")
    with pytest.raises(ConfigError, match="not /etc/x"):
        check_merged(recipe, tmp_path / "tree")


def test_a_layer_lies_over_something(write_recipe: WriteRecipe) -> None:
    base = write_recipe("base", BASE)
    assert below_of(load_recipe(write_recipe("child", CHILD))).folders == (base,)
    with pytest.raises(ConfigError, match="extends the recipe"):
        below_of(load_recipe(base))
