"""What tests of a finished image share: the image, the numbers they measure, their pictures.

IMAGE_RELEASES names the catalogue when it is not the station's own, IMAGE_SUMMARY the file that
gets the numbers, IMAGE_PICTURES the folder that gets pictures for the docs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provisioner.errors import NotFoundError
from provisioner.release.catalog import Catalog
from provisioner.settings import load_settings

FindRelease = Callable[[str], Path]


@pytest.fixture(scope="session")
def find_release() -> FindRelease:
    """The folder of a recipe's newest release; without one the test is left out."""
    catalog = Catalog(Path(os.environ.get("IMAGE_RELEASES", load_settings().releases_dir)))

    def find(recipe: str) -> Path:
        try:
            return catalog.folder(catalog.get(recipe).id)
        except NotFoundError:
            pytest.skip(f"no release of {recipe}: make image RECIPE={recipe}")

    return find


@pytest.fixture(scope="session")
def measured() -> Iterator[dict[str, float]]:
    """Numbers by name; what a test puts in goes into the summary."""
    found: dict[str, float] = {}
    yield found
    if (path := os.environ.get("IMAGE_SUMMARY")) and found:
        known = json.loads(Path(path).read_text()) if Path(path).exists() else {}
        why = {name: text for name, text in known.get("not_measured", {}).items()
               if name not in found}  # fmt: skip
        text = json.dumps({**known, **found, "not_measured": why}, ensure_ascii=False, indent=1)
        Path(path).write_text(f"{text}\n")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screens are kept."""
    folder = Path(os.environ.get("IMAGE_PICTURES") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
