"""A pack or an application becomes a part of an image: a folder laid out as the image is.

PARTS/pack-NAME/usr/share/classroom/packs/NAME/           the pack as it was sealed
PARTS/pack-NAME/usr/lib/pack-NAME/notices/components.json its licence, for the image's papers
PARTS/classroom-blocks/…                                   see `blocks`
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from provisioner.education import notices
from provisioner.education.blocks import Report, ensure_blocks
from provisioner.education.packs import Pack, check_pack, copy_pack
from provisioner.errors import ProofMissingError
from provisioner.release.cache import Cache

PACKS = Path("usr/share/classroom/packs")
BLOCKS = "classroom-blocks"


def place_pack(pack: Pack, parts: Path) -> Path:
    """The pack as a part; the copy is read back. Raises PackError, ProofMissingError."""
    name = f"pack-{pack.text.name}"
    with _replacing(parts / name) as aside:
        inside = aside / PACKS / pack.text.name
        copy_pack(pack, inside)
        if check_pack(inside).sha256 != pack.sha256:
            raise ProofMissingError(f"The copy of {pack.id} is not what it was copied from.")
        component = notices.ComponentText(
            name=pack.text.name, version=pack.text.version, licence=pack.text.licence,
            source=pack.text.source, files=(f"{PACKS}/{pack.text.name}/**",),
        )  # fmt: skip
        notices.write_components([component], aside / f"usr/lib/{name}/notices")
    return parts / name


def place_blocks(
    parts: Path, cache: Cache, *, mirror: str = "", assets: Sequence[Path] = (), report: Report
) -> Path:
    """The block-programming application as a part, from the cache when nothing changed."""
    with cache.locked(lambda: report("Waiting for another build", 0.0)):
        made = ensure_blocks(cache, mirror=mirror, assets=assets, report=report)
        with _replacing(parts / BLOCKS) as aside:
            shutil.copytree(made, aside, dirs_exist_ok=True)
    return parts / BLOCKS


class _replacing:  # noqa: N801 - used as a function
    """A folder made aside, which takes the old one's place when nothing went wrong."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._aside = target.with_name(f".{target.name}.new")

    def __enter__(self) -> Path:
        shutil.rmtree(self._aside, ignore_errors=True)
        self._aside.mkdir(parents=True)
        return self._aside

    def __exit__(self, kind: object, _value: object, _trace: object) -> None:
        if kind is not None:
            shutil.rmtree(self._aside, ignore_errors=True)
            return
        if self._target.exists():
            shutil.rmtree(self._target)
        self._aside.rename(self._target)
