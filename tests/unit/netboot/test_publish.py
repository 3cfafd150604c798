"""What is laid out for machines is exactly what the manifest promises."""

from __future__ import annotations

import getpass
import hashlib
from pathlib import Path

import pytest

from provisioner.errors import ImageMismatchError, UntrustedError
from provisioner.model.release import MANIFEST, Manifest, Minimum, ReleaseFile, ReleaseKind
from provisioner.model.signed import PrivateKey
from provisioner.netboot.publish import publish_live
from provisioner.netboot.settings import NetbootSettings
from provisioner.release.catalog import Catalog

FILES = {"vmlinuz": b"kernel", "initrd.img": b"initramfs", "netboot/undionly.kpxe": b"loader"}


@pytest.fixture
def settings(tmp_path: Path) -> NetbootSettings:
    return NetbootSettings.model_validate(
        {
            "interface": "br0",
            "station": "10.77.0.1/24",
            "tftp_root": tmp_path / "netboot" / "tftp",
            "state_dir": tmp_path / "netboot",
            "user": getpass.getuser(),
        }
    )


def publish_release(root: Path, key: PrivateKey) -> Path:
    manifest = Manifest(
        name="live", version="2026.1", number=1, kind=ReleaseKind.LIVE, suite="trixie",
        architecture="amd64", source_date_epoch=1, recipe_sha256="0" * 64,
        minimum=Minimum(memory_mib=1024, disk_mb=1), installed_bytes=1, components=(),
        files=tuple(
            ReleaseFile(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for path, data in FILES.items()
        ),
    )  # fmt: skip
    folder = root / manifest.id
    for path, data in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    (folder / MANIFEST).write_text(key.seal(manifest))
    return folder


def test_tftp_holds_the_loaders_and_their_configuration_only(
    tmp_path: Path, settings: NetbootSettings
) -> None:
    key = PrivateKey.generate()
    publish_release(tmp_path / "releases", key)
    live = publish_live(Catalog(tmp_path / "releases"), settings, key.public)
    names = {str(p.relative_to(settings.tftp_root)) for p in settings.tftp_root.rglob("*.*")}
    assert names == {"undionly.kpxe", "grub/grub.cfg"}
    assert (live / "vmlinuz").read_bytes() == b"kernel"
    initrd = (live / "initrd.img").read_bytes()
    assert initrd.startswith(b"initramfs")
    assert key.public.encode() in initrd  # whose orders the live environment will take


def test_publishing_again_leaves_nothing_old(tmp_path: Path, settings: NetbootSettings) -> None:
    key = PrivateKey.generate()
    publish_release(tmp_path / "releases", key)
    publish_live(Catalog(tmp_path / "releases"), settings, key.public)
    (settings.tftp_root / "old.efi").write_text("old")
    publish_live(Catalog(tmp_path / "releases"), settings, key.public)
    assert not (settings.tftp_root / "old.efi").exists()


@pytest.mark.parametrize("path", list(FILES))
def test_a_damaged_file_is_found_and_nothing_is_published(
    tmp_path: Path, settings: NetbootSettings, path: str
) -> None:
    key = PrivateKey.generate()
    folder = publish_release(tmp_path / "releases", key)
    (folder / path).write_bytes(b"x" * len(FILES[path]))
    with pytest.raises(ImageMismatchError, match=path):
        publish_live(Catalog(tmp_path / "releases"), settings, key.public)
    assert not settings.tftp_root.exists()


def test_another_key_is_not_believed(tmp_path: Path, settings: NetbootSettings) -> None:
    publish_release(tmp_path / "releases", PrivateKey.generate())
    with pytest.raises(UntrustedError):
        publish_live(Catalog(tmp_path / "releases"), settings, PrivateKey.generate().public)
