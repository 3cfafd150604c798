"""The site cache: what is given, how fast, and when it keeps quiet."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from datetime import datetime
from ipaddress import IPv4Interface
from pathlib import Path

import pytest
from pydantic import ValidationError

from provisioner.agent import cache
from provisioner.agent.cache import Cache, read_settings
from provisioner.agent.surroundings import Home
from provisioner.model.release import MANIFEST, ReleaseKind
from provisioner.model.signed import PrivateKey
from provisioner.model.site_cache import Lessons, SiteCache
from provisioner.model.wire import Surroundings
from provisioner.release.build import list_carried
from provisioner.release.manifest import write_manifest
from provisioner.swarm.choose import first_wire
from tests.unit.swarm.test_torrent import manifest_of

KEY = PrivateKey.generate()
MONDAY, NIGHT, SUNDAY = (
    datetime(2026, 11, day, hour) for day, hour in ((23, 10), (23, 20), (22, 10))
)


def release(root: Path, version: str, key: PrivateKey = KEY) -> Path:
    folder = root / f"lab@{version}"
    folder.mkdir(parents=True)
    (folder / "vmlinuz").write_bytes(os.urandom(1000))
    (folder / "system.squashfs").write_bytes(os.urandom(1_200_000))
    manifest = manifest_of(folder)
    (folder / "release.torrent").unlink()
    kernel = root.parent / "esp/releases" / folder.name / "vmlinuz"
    files = list_carried(folder, folder.name, ReleaseKind.SYSTEM)
    manifest = manifest.model_copy(update={"version": version, "files": files})
    write_manifest(folder, manifest, key)
    kernel.parent.mkdir(parents=True)
    (folder / "vmlinuz").rename(kernel)
    return folder


class Machine:
    def __init__(self, root: Path) -> None:
        self.root, self.settings, self.now = root, SiteCache(), NIGHT
        home = Home(Surroundings.INSTALLED, "http://127.0.0.1:1", KEY.public, PrivateKey.generate())
        self.cache = Cache(
            home, releases=root, esp=root.parent / "esp",
            settings=lambda: self.settings, now=lambda: self.now,
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    pytest.importorskip("libtorrent")
    monkeypatch.setattr(cache, "own_wire", lambda *_: IPv4Interface("127.0.0.1/8"))
    made = Machine(tmp_path / "releases")
    yield made
    made.cache.close()


def test_signed_releases_are_given_and_what_is_begun_or_foreign_is_not(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    release(machine.root, "2026.1")
    (release(machine.root, "2026.2") / MANIFEST).unlink()
    release(machine.root, "2026.3", PrivateKey.generate())
    with caplog.at_level(logging.WARNING):
        machine.cache.turn()
        machine.cache.turn()
    names = ("release.torrent", "system.squashfs", "vmlinuz")
    assert list(machine.cache.given) == [f"lab@2026.1/{name}" for name in names]
    assert caplog.text.count("lab@2026.3 is not given") == 1
    (machine.root / "lab@2026.1" / MANIFEST).unlink()
    machine.cache.turn()
    assert not machine.cache.given


def test_lessons_slow_it_down(machine: Machine) -> None:
    release(machine.root, "2026.1")
    machine.cache.turn()
    limits = []
    for now in (NIGHT, MONDAY, SUNDAY):
        machine.now = now
        machine.cache.turn()
        room = machine.cache._room
        assert room is not None
        values = room._session.get_peer_class(room._session.local_peer_class_id)
        limits.append((values["upload_limit"], room._session.get_settings()["upload_rate_limit"]))
    fast, slow = 8192 * 1024, 512 * 1024
    assert limits == [(fast, fast), (slow, slow), (fast, fast)]


def test_it_rests_when_it_has_grown_too_large(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(machine.root, "2026.1")
    machine.cache.turn()
    assert machine.cache.given
    before = cache.resident_bytes()
    monkeypatch.setattr(cache, "resident_bytes", lambda: before + (200 << 20))
    machine.cache.turn()
    assert not machine.cache.given
    machine.cache.turn()
    assert machine.cache._room is None


def test_the_school_may_switch_it_off(machine: Machine) -> None:
    release(machine.root, "2026.1")
    machine.cache.turn()
    machine.settings = SiteCache(enabled=False)
    machine.cache.turn()
    assert machine.cache._room is None


def test_another_address_is_another_room(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.cache.turn()
    first = machine.cache._room
    monkeypatch.setattr(cache, "own_wire", lambda *_: IPv4Interface("127.0.0.9/8"))
    machine.cache.turn()
    assert machine.cache._room is not first


def test_limits_hold_by_the_clock() -> None:
    settings = SiteCache()
    slow, fast = settings.lessons_upload_kib_s * 1024, settings.upload_kib_s * 1024
    assert settings.upload_bytes_s(MONDAY) == slow
    assert settings.upload_bytes_s(NIGHT) == settings.upload_bytes_s(SUNDAY) == fast
    assert settings.upload_bytes_s(datetime(2003, 1, 4, 20)) == slow  # a dead clock battery
    assert Lessons(days=(6,)).hold(SUNDAY)
    with pytest.raises(ValidationError):
        Lessons(begin="18:00", end="08:00")


def test_settings_of_the_school_are_read_and_a_damaged_file_is_not_obeyed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "site-cache.json"
    assert read_settings(path) == SiteCache()
    path.write_text(json.dumps({"upload_kib_s": 100, "lessons": []}))
    assert read_settings(path) == SiteCache(upload_kib_s=100, lessons=())
    for text in ("{", '{"upload_kib_s": -1}', '{"unknown": 1}', "\x00"):
        path.write_text(text)
        assert read_settings(path) == SiteCache()
    assert "the defaults hold" in caplog.text


def test_a_room_without_a_way_to_the_station_is_still_a_room() -> None:
    shown = (
        '[{"addr_info":[{"local":"127.0.0.1","prefixlen":8,"scope":"host"}]},'
        '{"addr_info":[{"local":"192.168.1.7","prefixlen":24,"scope":"global"}]}]'
    )
    assert first_wire(shown) == IPv4Interface("192.168.1.7/24")
    with pytest.raises(ValueError, match="no network"):
        first_wire("[]")


def test_a_room_where_nobody_gives_out_addresses_is_a_wire_too() -> None:
    own = '{"local": "169.254.7.9", "prefixlen": 16, "scope": "link"}'
    given = '{"local": "192.168.1.7", "prefixlen": 24, "scope": "global"}'
    loopback = '{"local": "127.0.0.1", "prefixlen": 8, "scope": "host"}'
    room = f'[{{"addr_info": [{loopback}]}}, {{"addr_info": [{own}]}}]'
    assert first_wire(room) == IPv4Interface("169.254.7.9/16")
    assert first_wire(f'[{{"addr_info": [{own}, {given}]}}]') == IPv4Interface("192.168.1.7/24")


def test_the_defaults_in_the_documents_are_the_defaults() -> None:
    text = (Path(__file__).parents[3] / "docs/delta.md").read_text()
    block = text.split("```json\n")[1].split("```")[0]
    assert SiteCache.model_validate_json(block) == SiteCache()
    assert set(json.loads(block)) == set(SiteCache.model_fields)
