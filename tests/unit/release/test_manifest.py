"""Manifest and catalogue: what is signed, what is on offer, what is refused."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from provisioner.errors import (
    ImageMismatchError,
    NotFoundError,
    StationError,
    UntrustedError,
)
from provisioner.model.release import MANIFEST, Manifest, Minimum, ReleaseKind
from provisioner.model.signed import PrivateKey
from provisioner.release.catalog import Catalog, next_version
from provisioner.release.manifest import list_files, read_manifest, write_manifest

TODAY = datetime.date(2029, 5, 1)


def manifest_of(folder: Path, name: str, number: int) -> Manifest:
    return Manifest(
        name=name, version=f"{number // 1000}.{number % 1000}", number=number,
        kind=ReleaseKind.SYSTEM, suite="trixie", architecture="amd64", source_date_epoch=1,
        recipe_sha256="0" * 64, minimum=Minimum(memory_mib=1, disk_mb=1), installed_bytes=1,
        files=list_files(folder), components=(),
    )  # fmt: skip


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "releases")


def publish(catalog: Catalog, key: PrivateKey, name: str, number: int) -> Manifest:
    with catalog.building() as folder:
        (folder / "loader").mkdir()
        (folder / "system.squashfs").write_bytes(b"s" * 5000)
        (folder / "loader/boot.img").write_bytes(b"b")
        manifest = manifest_of(folder, name, number)
        write_manifest(folder, manifest, key)
        catalog.publish(folder, manifest)
        return manifest


def test_what_is_published_is_found(catalog: Catalog, key: PrivateKey) -> None:
    made = publish(catalog, key, "lab", 2029001)
    assert catalog.get("lab") == catalog.get("lab@2029.1") == made
    assert catalog.folder("lab") == catalog.root / "lab@2029.1"
    assert [entry.path for entry in made.files] == ["loader/boot.img", "system.squashfs"]
    assert catalog.verify("lab", trusted=key.public) == made


def test_the_newest_by_number_not_by_spelling(catalog: Catalog, key: PrivateKey) -> None:
    for number in (2029009, 2029010, 2028999):
        publish(catalog, key, "lab", number)
    assert catalog.get("lab").version == "2029.10"
    assert [m.version for m in catalog.list()] == ["2028.999", "2029.9", "2029.10"]


def test_unknown_release_names_the_nearest(catalog: Catalog, key: PrivateKey) -> None:
    publish(catalog, key, "lab", 2029001)
    with pytest.raises(NotFoundError) as caught:
        catalog.get("lap@2029.1")
    assert "lab@2029.1" in caught.value.hint


def test_empty_catalogue(catalog: Catalog) -> None:
    assert catalog.list() == []
    with pytest.raises(NotFoundError) as caught:
        catalog.get("lab")
    assert "image build" in caught.value.hint


def test_unfinished_and_foreign_folders_do_not_count(catalog: Catalog, key: PrivateKey) -> None:
    publish(catalog, key, "lab", 2029001)
    (catalog.root / "lab@2029.2").mkdir()
    (catalog.root / "lost+found").mkdir()
    (catalog.root / ".building-x").mkdir()
    (catalog.root / "lab@2029.1").rename(catalog.root / "lab@2030.1")
    assert catalog.list() == []


def test_a_failed_build_leaves_nothing(catalog: Catalog) -> None:
    with pytest.raises(RuntimeError), catalog.building() as folder:
        (folder / "system.squashfs").write_bytes(b"half")
        raise RuntimeError("power")
    assert list(catalog.root.iterdir()) == []


def test_sweep_removes_what_a_killed_build_left(catalog: Catalog, key: PrivateKey) -> None:
    publish(catalog, key, "lab", 2029001)
    (catalog.root / ".building-x").mkdir()
    catalog.sweep()
    assert [path.name for path in catalog.root.iterdir()] == ["lab@2029.1"]


def test_a_release_is_never_replaced(catalog: Catalog, key: PrivateKey) -> None:
    publish(catalog, key, "lab", 2029001)
    with pytest.raises(StationError, match="exists already"):
        publish(catalog, key, "lab", 2029001)


@pytest.mark.parametrize(
    ("numbers", "year", "expected"),
    [
        ([], 2029, ("2029.1", 2029001)),
        ([2029001, 2029007], 2029, ("2029.8", 2029008)),
        ([2028005], 2029, ("2029.1", 2029001)),
        ([2029003], 1970, ("2029.4", 2029004)),  # the station's clock has lost its battery
    ],
)
def test_numbers_only_rise(numbers: list[int], year: int, expected: tuple[str, int]) -> None:
    assert next_version(numbers, year) == expected


def test_next_version_counts_each_recipe_alone(catalog: Catalog, key: PrivateKey) -> None:
    publish(catalog, key, "lab", 2029004)
    assert catalog.next_version("lab", TODAY) == ("2029.5", 2029005)
    assert catalog.next_version("live", TODAY) == ("2029.1", 2029001)


def test_a_flipped_bit_is_found(catalog: Catalog, key: PrivateKey) -> None:
    publish(catalog, key, "lab", 2029001)
    image = catalog.folder("lab") / "system.squashfs"
    data = bytearray(image.read_bytes())
    data[4000] ^= 1
    image.write_bytes(data)
    with pytest.raises(ImageMismatchError, match=r"system\.squashfs is not what was signed"):
        catalog.verify("lab", trusted=key.public)


def test_a_missing_file_is_found(catalog: Catalog, key: PrivateKey) -> None:
    publish(catalog, key, "lab", 2029001)
    (catalog.folder("lab") / "loader/boot.img").unlink()
    with pytest.raises(ImageMismatchError, match="missing"):
        catalog.verify("lab", trusted=key.public)


def test_a_link_in_place_of_a_file_is_found(catalog: Catalog, key: PrivateKey) -> None:
    publish(catalog, key, "lab", 2029001)
    image = catalog.folder("lab") / "loader/boot.img"
    image.rename(catalog.root / "elsewhere")
    image.symlink_to(catalog.root / "elsewhere")
    with pytest.raises(ImageMismatchError):
        catalog.verify("lab", trusted=key.public)


def test_a_file_too_many_is_found(catalog: Catalog, key: PrivateKey) -> None:
    publish(catalog, key, "lab", 2029001)
    (catalog.folder("lab") / "loader/extra.efi").write_bytes(b"x")
    with pytest.raises(ImageMismatchError, match=r"extra\.efi does not belong"):
        catalog.verify("lab", trusted=key.public)


def test_another_stations_release_is_not_trusted(catalog: Catalog, key: PrivateKey) -> None:
    publish(catalog, PrivateKey.generate(), "lab", 2029001)
    with pytest.raises(UntrustedError):
        catalog.verify("lab", trusted=key.public)


def test_an_altered_manifest_is_off_the_list_and_verify_says_why(
    catalog: Catalog, key: PrivateKey
) -> None:
    publish(catalog, key, "lab", 2029001)
    path = catalog.root / "lab@2029.1" / MANIFEST
    text = path.read_text()
    at = text.index('"payload":"') + 40
    path.write_text(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :])
    assert catalog.list() == []
    with pytest.raises(UntrustedError):
        catalog.verify("lab@2029.1", trusted=key.public)


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no manifest"):
        read_manifest(tmp_path, trusted=None)
