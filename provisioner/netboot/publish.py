"""Laying out what machines fetch before they can check anything: the live environment.

    STATE/netboot/live/       served by HTTP under /live/: kernel, initramfs, netboot/…
    STATE/netboot/tftp/       served by TFTP: the loaders and grub/grub.cfg, nothing else

Every file is compared with the signed manifest while it is copied, so a damaged release is found
here and not on 25 screens. The station's public key is appended to the initramfs: that is how
the live environment knows whose orders to take.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from provisioner.errors import ImageMismatchError, StationError
from provisioner.model.release import INITRD, MANIFEST, Manifest, ReleaseKind
from provisioner.model.signed import open_envelope
from provisioner.netboot.menus import grub_hello
from provisioner.netboot.settings import NetbootSettings
from provisioner.release.catalog import Catalog
from provisioner.release.live import append_station_key

LIVE_RECIPE = "live"
LOADERS = "netboot/"
GRUB_CONFIG = "grub/grub.cfg"


def publish_live(catalog: Catalog, settings: NetbootSettings, station_key: str) -> Path:
    """Publish the newest live environment; returns the folder to be served under /live/.

    Raises NotFoundError without a live release, UntrustedError or ImageMismatchError when it is
    not what this station's key has signed.
    """
    source = catalog.folder(catalog.get(LIVE_RECIPE).id)
    manifest, _ = open_envelope((source / MANIFEST).read_bytes(), Manifest, trusted=station_key)
    if manifest.kind is not ReleaseKind.LIVE:
        raise StationError(f"{manifest.id} is not a live environment.", "Build the recipe “live”.")
    live, tftp = settings.state_dir / "live", settings.tftp_root
    fresh_live, fresh_tftp = _empty(live), _empty(tftp)
    for entry in manifest.files:
        copied = _copy(source / entry.path, fresh_live / entry.path)
        if copied != entry.sha256:
            raise ImageMismatchError(
                f"{manifest.id}: {entry.path} is damaged.", "Build the live environment again."
            )
    _add_key(fresh_live / INITRD, station_key)
    hello = fresh_live / LOADERS / GRUB_CONFIG
    hello.parent.mkdir(parents=True, exist_ok=True)
    hello.write_text(grub_hello(settings))
    shutil.copytree(fresh_live / LOADERS, fresh_tftp, dirs_exist_ok=True)
    _give_to(fresh_tftp, settings.user)
    for fresh, final in ((fresh_live, live), (fresh_tftp, tftp)):
        shutil.rmtree(final, ignore_errors=True)
        fresh.rename(final)
    return live


def _empty(folder: Path) -> Path:
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    return fresh


def _copy(source: Path, target: Path) -> str:
    """Copy one file; the SHA-256 of what was copied."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with source.open("rb") as reading, target.open("wb") as writing:
        while block := reading.read(1024 * 1024):
            digest.update(block)
            writing.write(block)
    return digest.hexdigest()


def _add_key(initrd: Path, station_key: str) -> None:
    with_key = initrd.with_name(f".{initrd.name}.key")
    append_station_key(initrd, station_key, with_key)
    with_key.rename(initrd)


def _give_to(folder: Path, user: str) -> None:
    """dnsmasq hands out only files of its own user (tftp-secure)."""
    folder.chmod(0o755)
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, user)
