"""The block-programming application as one folder, laid out as in the image.

    usr/bin/classroom-blocks                       the command
    usr/lib/classroom-blocks/editor/               @scratch/scratch-gui, as it was published
    usr/lib/classroom-blocks/{library,ours}/       pictures and sounds, by MD5
    usr/lib/classroom-blocks/provisioner/pupil/    the loopback server and its page
    usr/lib/classroom-blocks/notices/              components, licences' texts
    usr/local/share/{applications,mime}/           opens .sb3 by double click
    etc/chromium/policies/managed/, etc/chromium.d/  keep Chromium silent

It needs chromium, python3 and espeak-ng in the image, and no hook of any package: its MIME
database lies in a data folder of its own. Same inputs give the same bytes.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from provisioner.education import media, notices
from provisioner.education.npm import NpmPackage, fetch, unpack
from provisioner.errors import ProofMissingError
from provisioner.pupil import browser, library
from provisioner.pupil.assets import import_assets
from provisioner.release.cache import Cache, key_of
from provisioner.release.recipe import folder_digest
from provisioner.run import run

GUI = NpmPackage(
    "@scratch/scratch-gui", "15.2.0",
    "85d60daef98f4a4a7f2a47d832a444b8c996efb93f27c9169a572fecb107f04b",
)  # fmt: skip
NEEDS = ("chromium", "python3", "espeak-ng")  # Debian packages, for the recipe
HERE = Path(__file__).parent
PACKAGE = HERE.parent
DATA = HERE / "data"
COMPONENTS = HERE / "components.yml"
ROOT = Path("usr/lib/classroom-blocks")
OURS = ("__init__.py", "errors.py", "run.py")
LEFT_OUT = (
    re.compile(r"\.map$|^types/|^scratch-gui\.js"),  # for developers
    # tutorials in languages that are not spoken here
    re.compile(r"\.(am|ar|es|fr|ja|pt_BR|sw|tr|uk|zu|zh_TW)\.[0-9a-f]{20}\."),
    re.compile(r"^chunks/(?!en-|zh_CN-)[a-z]{2}(_[A-Z]{2})?-steps\."),
    # what needs a camera's model, or a radio that Debian has no program for
    re.compile(r"^chunks/mediapipe/|\.hex$"),
)
MIME_S = 60
Report = Callable[[str, float], None]


def build_blocks(
    out: Path,
    cache: Cache,
    *,
    mirror: str = "",
    assets: Sequence[Path] = (),
    report: Report = lambda _step, _fraction: None,
) -> tuple[notices.ComponentText, ...]:
    """Make the application in the new folder `out`; what it is made of.

    `assets` are further packs of pictures and sounds that the operator may use. Raises
    StationError (network, npm), UntrustedError (another content), AssetPackError, ConfigError
    (a file without a licence), ProofMissingError (a part is not where it should be).
    """
    root = out / ROOT
    report("Fetching the editor", 0.05)
    archive = fetch(GUI, cache)
    report("Fetching pictures and sounds", 0.3)
    pictures = media.fetch_media(cache, mirror)
    report("Unpacking the editor", 0.5)
    put_editor(archive, root)
    report("Making the library", 0.7)
    made = media.make_library(pictures)
    media.add_chinese(made.index, media.read_words(DATA / "words-zh.txt"))
    made.write(root / "library", root / "library.json")
    put_ours(out, root)
    for pack in assets:
        import_assets(pack, root / "library")
    put_desktop(out)
    put_notices(out, root)
    components = notices.read_components(COMPONENTS)
    notices.write_components(components, root / "notices")
    notices.check_covered(out, components, COMPONENTS)
    check_application(out)
    report("Done", 1.0)
    return components


def ensure_blocks(
    cache: Cache,
    *,
    mirror: str = "",
    assets: Sequence[Path] = (),
    report: Report = lambda _step, _fraction: None,
) -> Path:
    """The application's folder in the cache, made when what it depends on has changed."""
    digests = [folder_digest(folder) for folder in (PACKAGE / "pupil", HERE, *assets)]
    ours = [(PACKAGE / name).read_text(encoding="utf-8") for name in OURS]
    key = key_of(GUI, media.DEB_SHA256, *digests, *ours)
    return cache.entry(
        "blocks", key,
        lambda out: _discard(build_blocks(out, cache, mirror=mirror, assets=assets, report=report)),
    )  # fmt: skip


def put_editor(archive: Path, root: Path) -> None:
    """The published editor without what is of no use here, its own index of assets, its licence."""
    indexes = root / "indexes"
    texts = {
        name: root / "notices" / f"scratch-gui-{name}.txt" for name in ("LICENSE", "TRADEMARK")
    }

    def wanted(name: str) -> Path | None:
        inside = name.removeprefix("dist/")
        if name.startswith("dist/libraries/"):
            return indexes / Path(name).name
        if inside == name or any(p.search(inside) for p in LEFT_OUT):
            return texts.get(name)
        return root / "editor" / inside

    unpack(archive, wanted)
    index = {kind: json.loads((indexes / f"{kind}.json").read_text()) for kind in library.KINDS}
    (root / "official.json").write_text(json.dumps(index, separators=(",", ":"), sort_keys=True))
    shutil.rmtree(indexes)


def put_ours(out: Path, root: Path) -> None:
    """Our server, page, command and start project."""
    package = root / "provisioner"
    shutil.copytree(PACKAGE / "pupil", package / "pupil",
                    ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
    for name in OURS:
        shutil.copyfile(PACKAGE / name, package / name)
    shutil.copytree(DATA / "ours", root / "ours")
    command = out / "usr/bin/classroom-blocks"
    command.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(DATA / "classroom-blocks.py", command)
    command.chmod(0o755)


def put_desktop(out: Path) -> None:
    """The application's entry, the MIME types with their database, and Chromium's policies."""
    share = out / "usr/local/share"
    for folder in ("applications", "mime"):
        shutil.copytree(DATA / folder, share / folder)
    run(["update-mime-database", share / "mime"], timeout_s=MIME_S)
    policies = out / "etc/chromium/policies/managed/classroom-blocks.json"
    policies.parent.mkdir(parents=True)
    policies.write_text(json.dumps(browser.POLICIES, indent=1, sort_keys=True) + "\n")
    flags = out / "etc/chromium.d/classroom-blocks"
    flags.parent.mkdir(parents=True)
    flags.write_text(browser.debian_flags())


def put_notices(out: Path, root: Path) -> None:
    """Our own licence's text, and a copyright file where Debian has them."""
    shutil.copyfile(PACKAGE.parent / "LICENSE", root / "notices/Apache-2.0.txt")
    copyright_file = out / "usr/share/doc/classroom-blocks/copyright"
    copyright_file.parent.mkdir(parents=True)
    shutil.copyfile(DATA / "copyright", copyright_file)


def _discard(_made: object) -> None:
    """The cache wants makers that return nothing."""


def check_application(out: Path) -> None:
    """Look at what was made. Raises ProofMissingError naming what is not there."""
    root = out / ROOT
    start = root / "provisioner/pupil/page/start.json"
    database = out / "usr/local/share/mime/mime.cache"
    needed = [root / "editor/scratch-gui-standalone.js", root / "official.json", start,
              out / "usr/bin/classroom-blocks", database]  # fmt: skip
    for path in needed:
        if not path.is_file() or path.stat().st_size == 0:
            raise ProofMissingError(f"{path.relative_to(out)} is missing in the application.")
    text = needed[0].read_text(encoding="utf-8")
    if text.count('JSON.parse(\'[{"name":') != len(library.KINDS):
        raise ProofMissingError(
            "The editor keeps its lists of pictures and sounds in another way than was tried.",
            "Look at page/before.js before you use this version.",
        )
    have = library.available([root / "library", root / "ours"])
    named = [f"{asset['assetId']}.{asset['dataFormat']}"
             for target in json.loads(start.read_text())["targets"]
             for asset in (*target["costumes"], *target["sounds"])]  # fmt: skip
    for name in named:
        if name not in have:
            raise ProofMissingError(f"The start project wants {name}, which is not there.")
    shown = library.offered([library.read_index(root / "library.json")], have)
    if any(not shown[kind] for kind in library.KINDS):
        raise ProofMissingError("The library is empty.")
