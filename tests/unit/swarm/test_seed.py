"""What the station gives: signed system releases with a torrent, and what appears later."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from provisioner.errors import UntrustedError
from provisioner.model.release import ReleaseKind
from provisioner.model.signed import PrivateKey
from provisioner.netboot.settings import NetbootSettings
from provisioner.release.build import list_carried
from provisioner.release.catalog import Catalog
from provisioner.release.manifest import write_manifest
from provisioner.swarm import choose, seed
from provisioner.swarm.carrier import RangeCarrier
from provisioner.swarm.choose import choose_carrier, parse_wire, trusted_torrent
from provisioner.swarm.fetch import HttpCarrier
from provisioner.swarm.packet import ROOT_BYTES
from provisioner.swarm.seed import LEAST_LEFT, Seeds
from provisioner.swarm.torrent import TORRENT, Torrent
from tests.unit.swarm.shaky import ShakyStation
from tests.unit.swarm.test_torrent import manifest_of

KEY = PrivateKey.generate()


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "releases")


@pytest.fixture
def seeds(catalog: Catalog, tmp_path: Path) -> Iterator[Seeds]:
    pytest.importorskip("libtorrent")
    netboot = NetbootSettings(
        interface="lo", station=IPv4Interface("127.0.0.1/8"), tftp_root=tmp_path, state_dir=tmp_path
    )
    with Seeds(catalog, netboot, KEY.public) as made:
        yield made


def publish(
    catalog: Catalog, version: str, *, torrent: bool = True, key: PrivateKey = KEY,
    kind: ReleaseKind = ReleaseKind.SYSTEM, damage: bool = False,
    grub: bytes = b"",
) -> Path:  # fmt: skip
    """A release as the builder leaves it: whole, and then moved to its place. The seeds' own
    thread looks at the catalogue whenever it likes."""
    folder = catalog.root.with_name("building") / f"lab@{version}"
    folder.mkdir(parents=True)
    (folder / "system.squashfs").write_bytes(os.urandom(1_500_000 if torrent else 9))
    (folder / "loader").mkdir()
    (folder / "loader/grub").write_bytes(grub or os.urandom(1_100_000 if torrent else 9))
    manifest = manifest_of(folder)
    (folder / TORRENT).unlink(missing_ok=True)
    files = list_carried(folder, folder.name, kind)
    manifest = manifest.model_copy(update={"version": version, "kind": kind, "files": files})
    if damage:
        (folder / TORRENT).write_bytes((folder / TORRENT).read_bytes()[:-1] + b"f")
    write_manifest(folder, manifest, key)
    catalog.root.mkdir(exist_ok=True)
    return folder.rename(catalog.root / folder.name)


def test_what_appears_later_is_given_and_what_goes_is_not(seeds: Seeds, catalog: Catalog) -> None:
    seeds.look()
    assert not seeds.given
    publish(catalog, "2026.1")
    publish(catalog, "2026.2")
    seeds.look()
    assert seeds.given == ("lab@2026.1", "lab@2026.2")
    (catalog.root / "lab@2026.1").rename(catalog.root / ".gone")
    seeds.look()
    assert "lab@2026.1" not in seeds.given


def test_a_release_is_seen_that_appears_in_the_same_tick_of_the_clock(
    seeds: Seeds, catalog: Catalog
) -> None:
    """A folder's time moves in steps of some milliseconds: two releases may share one."""
    publish(catalog, "2026.1")
    seeds.look()
    looked = catalog.root.stat()
    publish(catalog, "2026.2")
    os.utime(catalog.root, ns=(looked.st_atime_ns, looked.st_mtime_ns))
    seeds.look()
    assert seeds.given == ("lab@2026.1", "lab@2026.2")


def test_a_file_that_two_releases_have_is_given_as_long_as_one_has_it(
    seeds: Seeds, catalog: Catalog
) -> None:
    first = publish(catalog, "2026.1")
    seeds.look()
    publish(catalog, "2026.2", grub=(first / "loader/grub").read_bytes())
    seeds.look()
    assert len(seeds._shares) == 3
    shutil.rmtree(first)
    seeds.look()
    assert len(seeds._shares) == 2
    assert all("lab@2026.2" in str(share.place.path) for share in seeds._shares.values())


def test_only_what_is_ours_and_whole_is_given(
    seeds: Seeds, catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    publish(catalog, "2026.1", key=PrivateKey.generate())
    publish(catalog, "2026.2", damage=True)
    publish(catalog, "2026.3", torrent=False)
    publish(catalog, "2026.4", kind=ReleaseKind.LIVE)
    with caplog.at_level(logging.ERROR):
        seeds.look()
    assert seeds.given == ()
    assert "lab@2026.1" in caplog.text
    assert "lab@2026.2" in caplog.text
    assert "lab@2026.3" not in caplog.text


def test_a_station_without_libtorrent_says_so_and_serves(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(seed, "is_available", lambda: False)
    netboot = NetbootSettings(
        interface="lo", station=IPv4Interface("127.0.0.1/8"), tftp_root=tmp_path, state_dir=tmp_path
    )
    with Seeds(catalog, netboot, KEY.public) as made:
        assert made.given == ()
    assert "HTTP" in caplog.text


@pytest.fixture
def station(tmp_path: Path) -> Iterator[ShakyStation]:
    (tmp_path / "served").mkdir()
    made = ShakyStation(tmp_path / "served").start()
    yield made
    made.stop()


def test_a_torrent_is_believed_only_as_the_manifest_says(station: ShakyStation) -> None:
    folder = station.folder
    (folder / "system.squashfs").write_bytes(os.urandom(1_500_000))
    manifest = manifest_of(folder)
    http = HttpCarrier(station.url)
    whole = (folder / TORRENT).read_bytes()
    assert trusted_torrent(http, manifest) is not None
    for damaged in (whole[:-9], whole[:-1] + b"x", b"", b"d4:infode", whole + b" "):
        (folder / TORRENT).write_bytes(damaged)
        with pytest.raises(UntrustedError):
            trusted_torrent(http, manifest)


def test_an_older_release_has_none_and_goes_by_http(station: ShakyStation) -> None:
    (station.folder / "small").write_bytes(b"x")
    manifest = manifest_of(station.folder)
    with choose_carrier(
        HttpCarrier(station.url), manifest, station_url=station.url, release_url=station.url
    ) as carrier:
        assert isinstance(carrier, RangeCarrier)
        assert carrier._torrent == Torrent(manifest.id, ())
    assert station.asked == []


def test_a_machine_without_libtorrent_takes_pieces(
    station: ShakyStation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(choose, "is_available", lambda: False)
    (station.folder / "system.squashfs").write_bytes(os.urandom(1_500_000))
    carrier = choose_carrier(
        HttpCarrier(station.url), manifest_of(station.folder),
        station_url=station.url, release_url=station.url,
    )  # fmt: skip
    assert type(carrier) is RangeCarrier


def test_the_wire_is_the_network_of_the_own_address() -> None:
    shown = (
        '[{"addr_info":[{"local":"192.0.2.9","prefixlen":25}]},{},'
        '{"addr_info":[{"local":"10.77.0.9","prefixlen":24}]}]'
    )
    assert parse_wire(shown, IPv4Address("10.77.0.9")) == IPv4Interface("10.77.0.9/24")
    with pytest.raises(ValueError, match="no interface"):
        parse_wire(shown, IPv4Address("10.77.0.8"))


def test_the_carousel_has_the_cable_for_as_long_as_it_turns(
    seeds: Seeds, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine with a tenth of the rate would take a fifth of the station's cable otherwise."""
    publish(catalog, "2026.1")
    seeds.look()
    (turning, first), (_, other) = seeds._shares.items()

    def give_way(rates: dict[bytes, float]) -> tuple[int, int]:
        monkeypatch.setattr(seeds._carousel, "rates", lambda: rates)
        seeds._yield()
        return max(first.handle.upload_limit(), 0), max(other.handle.upload_limit(), 0)

    unlimited = (0, 0)
    assert give_way({}) == unlimited
    assert give_way({turning[:ROOT_BYTES]: 1_600_000.0}) == (100_000, unlimited[1])
    assert give_way({turning[:ROOT_BYTES]: 16_000.0}) == (LEAST_LEFT, unlimited[1])
    assert give_way({}) == unlimited
