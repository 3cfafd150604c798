"""A release of the lab's recipes for tests of whole machines: from the cache, or built now."""

from __future__ import annotations

from pathlib import Path

from provisioner.model.signed import PrivateKey
from provisioner.release.build import ensure_release
from provisioner.release.catalog import Catalog
from provisioner.release.materials import Wishes
from provisioner.secret_file import secret_file
from provisioner.settings import load_settings
from provisioner.workshop.station import STATION_KEY


def cached_release(recipe: str) -> Path:
    """The folder of the newest release of `recipe`, in the cache that the lab uses."""
    settings = load_settings()
    base = settings.cache_dir / "lab"
    base.mkdir(parents=True, exist_ok=True)
    key = secret_file(base / STATION_KEY, lambda: PrivateKey.generate().to_hex())
    catalog = Catalog(base / "releases")
    ensure_release(
        settings.images_dir / recipe, catalog=catalog, key=PrivateKey.from_hex(key),
        cache=settings.cache_dir, wishes=Wishes(mirror=settings.mirror),
    )  # fmt: skip
    return catalog.folder(recipe)
