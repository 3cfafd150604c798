"""What an update costs, and a patch put on offer."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.errors import NotFoundError, ProofMissingError, UntrustedError
from provisioner.model.release import Manifest, Minimum, ReleaseKind
from provisioner.model.signed import PrivateKey
from provisioner.release import chunking, delta
from provisioner.release.catalog import Catalog
from provisioner.release.manifest import file_digest, list_files, write_manifest
from tests.unit.swarm.images import image_of, small_edits, texts

FILES = texts(10, 1)
OLD, NEW = image_of(FILES), image_of(small_edits(FILES, (1, 5), 2))


def publish(
    catalog: Catalog, key: PrivateKey, number: int, image: bytes | None, mapped: bool = True
) -> None:
    with catalog.building() as folder:
        if image is not None:
            (folder / "system.squashfs").write_bytes(image)
        if mapped:
            chunking.add_chunk_map(folder)
        manifest = Manifest(
            name="lab", version=f"2029.{number}", number=number, kind=ReleaseKind.SYSTEM,
            suite="trixie", architecture="amd64", source_date_epoch=1, recipe_sha256="0" * 64,
            minimum=Minimum(memory_mib=1, disk_mb=1), installed_bytes=1,
            files=list_files(folder), components=(),
        )  # fmt: skip
        write_manifest(folder, manifest, key)
        catalog.publish(folder, manifest)


@pytest.fixture
def catalog(tmp_path: Path, key: PrivateKey) -> Catalog:
    catalog = Catalog(tmp_path / "releases")
    publish(catalog, key, 1, OLD)
    publish(catalog, key, 2, NEW)
    return catalog


def test_pieces_cost_what_changed(catalog: Catalog, key: PrivateKey) -> None:
    found = delta.cost(catalog, "lab@2029.1", "lab", key.public)
    assert (found.old, found.new, found.whole_bytes) == ("lab@2029.1", "lab@2029.2", len(NEW))
    assert 0 < found.missing_bytes < len(NEW) / 2
    assert 1 <= found.requests <= 4
    assert found.map_bytes == (catalog.folder("lab") / "system.chunks").stat().st_size
    assert found.patch_bytes is None


def test_a_release_from_before_there_were_maps_is_cut_now(
    catalog: Catalog, key: PrivateKey
) -> None:
    publish(catalog, key, 3, OLD, mapped=False)
    found = delta.cost(catalog, "lab@2029.1", "lab@2029.3", key.public)
    assert (found.missing_bytes, found.map_bytes) == (0, 0)


def test_a_release_without_a_system_image_has_no_delta(catalog: Catalog, key: PrivateKey) -> None:
    publish(catalog, key, 3, None)
    with pytest.raises(NotFoundError, match="no system image"):
        delta.cost(catalog, "lab@2029.1", "lab@2029.3", key.public)


def test_a_published_patch_is_proved_signed_and_small(catalog: Catalog, key: PrivateKey) -> None:
    made = delta.publish_patch(catalog, key, "lab@2029.1", "lab@2029.2")
    folder = delta.patches_of(catalog, "lab@2029.2")
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"lab@2029.1.{end}" for end in ("dsse.json", "patch", "patch.torrent")]
    assert made.torrent == file_digest(folder / "lab@2029.1.patch.torrent")
    found = delta.cost(catalog, "lab@2029.1", "lab@2029.2", key.public)
    assert found.patch_bytes == made.size == (folder / "lab@2029.1.patch").stat().st_size
    assert found.patch_bytes < found.missing_bytes / 2
    assert catalog.verify("lab@2029.2", key.public)  # the release itself did not change
    assert len(catalog.list()) == 2


def test_a_patch_that_does_not_work_is_not_published(
    catalog: Catalog, key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioner.swarm.patching.apply", lambda *_, **__: True)
    with pytest.raises(ProofMissingError):
        delta.publish_patch(catalog, key, "lab@2029.1", "lab@2029.2")
    assert list(delta.patches_of(catalog, "lab@2029.2").iterdir()) == []


def test_a_patch_signed_by_somebody_else_is_not_shown(catalog: Catalog, key: PrivateKey) -> None:
    delta.publish_patch(catalog, PrivateKey.generate(), "lab@2029.1", "lab@2029.2")
    with pytest.raises(UntrustedError):
        delta.cost(catalog, "lab@2029.1", "lab@2029.2", key.public)
