"""The live environment's one initramfs: several archives, one after the other.

1. busybox, three kernel modules and `init` from the recipe (gzip)
2. /live/base.squashfs, all packages, and its SHA-256
3. /live/agent.squashfs, our own files, and its SHA-256
4. appended by each station when it starts to serve: /live/station.pub, its public key

`init` checks 2 and 3 and mounts them over one another. Nothing in it is secret.
"""

from __future__ import annotations

import gzip
import io
import lzma
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from provisioner.errors import ConfigError, ProofMissingError
from provisioner.release import cpio
from provisioner.release.manifest import file_digest
from provisioner.release.recipe import INITRAMFS, Recipe
from provisioner.release.tree import MODULES, kernel_version, module_order

BASE, AGENT, STATION_KEY = "base", "agent", "live/station.pub"
LAYERS = "live/layers"
FIRST_MODULES = ("loop", "squashfs", "overlay")
BUSYBOX = Path("usr/bin/busybox")
FOLDERS = ("dev", "proc", "run", "sys")
_KEY = re.compile(r"^[0-9a-f]{64}$")


def first_archive(recipe: Recipe, tree: Path) -> bytes:
    """The part that the kernel starts: `init`, a busybox that needs no libraries, modules."""
    init = next((path for source in reversed(recipe.sources(INITRAMFS))
                 if (path := source / "init").is_file()), None)  # fmt: skip
    if init is None or not (tree / BUSYBOX).is_file():
        raise ConfigError(
            "A live environment needs initramfs/init and the package busybox-static.",
            file=recipe.file, field="packages",
        )  # fmt: skip
    entries = [
        cpio.file("init", init, executable=True),
        cpio.file("bin/busybox", tree / BUSYBOX, executable=True),
        *_first_modules(tree),
        *(cpio.folder(name) for name in FOLDERS),
    ]
    archive = io.BytesIO()
    cpio.write_archive(archive, entries)
    return gzip.compress(archive.getvalue(), compresslevel=9, mtime=0)


def write_initramfs(first: bytes, layers: dict[str, Path], out: Path) -> None:
    """Put together archives 1 to 3; `layers` are squashfs files by name, the lowest first."""
    with out.open("wb") as file:
        file.write(first)
        for name, image in layers.items():
            digest = f"{file_digest(image)}  {name}.squashfs\n".encode()
            cpio.write_archive(
                file,
                [
                    cpio.file(f"live/{name}.squashfs", image),
                    cpio.file(f"live/{name}.sha256", digest),
                ],
            )


def append_station_key(initrd: Path, public_key_hex: str, out: Path) -> None:
    """Write `initrd` with the station's public key behind it to `out`, by one rename.

    `public_key_hex` is an Ed25519 key in 64 hexadecimal digits; in the running system it is
    /run/live/station.pub. Raises ValueError for anything else.
    """
    if not _KEY.match(public_key_hex):
        raise ValueError("the station's public key is 64 hexadecimal digits")
    append(initrd, [cpio.file(STATION_KEY, f"{public_key_hex}\n".encode())], out)


def append_layer(initrd: Path, image: Path, out: Path) -> None:
    """Append one more squashfs, mounted over all others; for tests and for drivers at need."""
    append(initrd, [cpio.file(f"{LAYERS}/{image.name}", image)], out)


def append(initrd: Path, entries: Iterable[cpio.Entry], out: Path) -> None:
    """Copy an initramfs and append an uncompressed archive to it."""
    aside = out.with_name(f".{out.name}.new")
    try:
        with aside.open("wb") as file:
            with initrd.open("rb") as source:
                shutil.copyfileobj(source, file, 1024 * 1024)
            cpio.write_archive(file, entries)
        aside.replace(out)
    finally:
        aside.unlink(missing_ok=True)


def _first_modules(tree: Path) -> list[cpio.Entry]:
    """The modules as plain files, in the order in which they have to be loaded."""
    version = kernel_version(tree)
    order = module_order(tree, version, FIRST_MODULES)
    entries, names = [], []
    for path in order:
        data = (tree / MODULES / version / path).read_bytes()
        name = Path(path).name.removesuffix(".xz")
        entries.append(cpio.file(f"modules/{name}", lzma.decompress(data) if name != Path(path).name
                                 else data))  # fmt: skip
        names.append(name)
    if any(not entry.content.startswith(b"\x7fELF") for entry in entries):  # type: ignore[union-attr]
        raise ProofMissingError("A kernel module of the live environment is packed in a new way.")
    return [*entries, cpio.file("modules/order", "".join(f"{n}\n" for n in names).encode())]
