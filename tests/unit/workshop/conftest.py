"""A station on a real SQLite file (or PostgreSQL), with one small signed release."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.fleet.school import school_folders
from provisioner.model.batch import BatchPlan, Policy
from provisioner.model.release import (
    LOADER_BOOT_IMG,
    LOADER_CORE_IMG,
    MANIFEST,
    Manifest,
    Minimum,
    ReleaseFile,
    ReleaseKind,
)
from provisioner.settings import Settings
from provisioner.workshop import desk
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import Station, open_station
from tests.unit.workshop.robot import fake_boot_img, fake_core_img

PLAIN = Policy()


@pytest.fixture
def station(tmp_path: Path) -> Station:
    station = open_station(Settings(state_dir=tmp_path / "state"), url="http://10.77.0.1:8080")
    publish(station, small_manifest())
    return station


@pytest.fixture
def dialogue(station: Station) -> Dialogue:
    return Dialogue(station)


@pytest.fixture
def manifest() -> Manifest:
    return small_manifest()


@pytest.fixture
def batch(station: Station) -> str:
    return open_batch(station)


def open_batch(station: Station, name: str = "b1", size: int = 5, policy: Policy = PLAIN) -> str:
    school = school_folders(station.settings.inventories_dir)[0].name
    plan = BatchPlan(name=name, school=school, release="lab", size=size, policy=policy)
    with station.database.transaction() as session:
        return desk.create_batch(station, session, plan, "test").name


def small_manifest() -> Manifest:
    return Manifest(
        name="lab", version="2026.1", number=2026001, kind=ReleaseKind.SYSTEM, suite="trixie",
        architecture="amd64", source_date_epoch=0, recipe_sha256="0" * 64,
        minimum=Minimum(memory_mib=1024, disk_mb=4000), installed_bytes=1, components=(),
        files=(ReleaseFile(path="system.squashfs", size=10, sha256="a" * 64),),
    )  # fmt: skip


def publish(station: Station, manifest: Manifest) -> None:
    folder = station.settings.releases_dir / manifest.id
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(station.key.seal(manifest))
    (folder / "loader").mkdir()
    (folder / LOADER_BOOT_IMG).write_bytes(fake_boot_img())
    (folder / LOADER_CORE_IMG).write_bytes(fake_core_img())
