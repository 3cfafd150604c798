"""A pack or an application becomes a part of an image: a folder laid out as the image is.

PARTS/pack-NAME/usr/share/classroom/packs/NAME/           the pack as it was sealed
PARTS/pack-NAME/usr/local/share/applications/             its entry in the menu
PARTS/pack-NAME/usr/lib/systemd/system/                   for a ZIM: kiwix-serve, not enabled
PARTS/pack-NAME/usr/lib/pack-NAME/notices/components.json its licence, for the image's papers
PARTS/classroom-blocks/…                                   see `blocks`
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from provisioner.education import notices
from provisioner.education.blocks import DATA, Report, ensure_blocks
from provisioner.education.packs import Pack, check_pack, copy_pack
from provisioner.errors import ProofMissingError
from provisioner.model.pack import PackKind
from provisioner.release.cache import Cache

PACKS = Path("usr/share/classroom/packs")
APPLICATIONS = Path("usr/local/share/applications")
UNITS = Path("usr/lib/systemd/system")
KIWIX = "courseware-kiwix.service"
KIWIX_PORT = 8604
BLOCKS = "classroom-blocks"


def place_pack(pack: Pack, parts: Path) -> Path:
    """The pack as a part; the copy is read back. Raises PackError, ProofMissingError."""
    name = f"pack-{pack.text.name}"
    with _replacing(parts / name) as aside:
        inside = aside / PACKS / pack.text.name
        copy_pack(pack, inside)
        if check_pack(inside).sha256 != pack.sha256:
            raise ProofMissingError(f"The copy of {pack.id} is not what it was copied from.")
        put_entry(pack, aside)
        notices.write_components(_components(pack), aside / f"usr/lib/{name}/notices")
    return parts / name


def put_entry(pack: Pack, root: Path) -> None:
    """What opens the pack from the menu, where a program of the image can do so by itself.

    A Kolibri channel has none: Kolibri shows its channels.
    """
    inside = f"/{PACKS}/{pack.text.name}/content"
    opened = {
        PackKind.WEB: f"chromium --app=file://{inside}/index.html",
        PackKind.PDF: f"xdg-open {inside}",
        PackKind.ZIM: f"chromium --app=http://127.0.0.1:{KIWIX_PORT}/",
    }
    if pack.text.kind is PackKind.ZIM:
        (root / UNITS).mkdir(parents=True)
        shutil.copyfile(DATA / KIWIX, root / UNITS / KIWIX)
    if command := opened.get(pack.text.kind):
        title = pack.text.title
        lines = ("[Desktop Entry]", "Type=Application", f"Name={title.en}",
                 f"Name[zh_CN]={title.zh}", f"Exec={command}", "Icon=accessories-dictionary",
                 "Categories=Education;")  # fmt: skip
        (root / APPLICATIONS).mkdir(parents=True)
        entry = root / APPLICATIONS / f"pack-{pack.text.name}.desktop"
        entry.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _components(pack: Pack) -> list[notices.ComponentText]:
    text = pack.text
    made_here = (f"{APPLICATIONS}/**", f"{UNITS}/**", f"usr/lib/pack-{text.name}/**")
    return [
        notices.ComponentText(name=text.name, version=text.version, licence=text.licence,
                              source=text.source, files=(f"{PACKS}/{text.name}/**",)),
        notices.ComponentText(name=f"pack-{text.name}", version="1", licence="Apache-2.0",
                              source="this project, provisioner/education", files=made_here),
    ]  # fmt: skip


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
