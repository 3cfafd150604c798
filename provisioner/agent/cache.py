"""The site cache: an installed machine gives the releases that it has to its classroom.

A release is given when its manifest lies beside it and our station signed it; every piece is
hashed by libtorrent before it leaves for the first time, and by whoever takes it. The limits are
the school's (`model/site_cache.py`). It needs no station: neighbours find each other by
themselves. Whatever is in the way (no network yet, no libtorrent, a damaged release), it waits
and looks again; the machine's users never notice.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from ipaddress import IPv4Interface
from pathlib import Path

from pydantic import ValidationError

from provisioner.agent import layout
from provisioner.agent.release_files import place_of
from provisioner.agent.surroundings import Home
from provisioner.errors import ProvisionerError, UntrustedError
from provisioner.model.release import MANIFEST, Manifest, ReleaseKind
from provisioner.model.site_cache import SiteCache
from provisioner.release.manifest import read_manifest
from provisioner.swarm.choose import own_wire
from provisioner.swarm.classroom import Classroom
from provisioner.swarm.fetch import SocketOption
from provisioner.swarm.once import all_carried
from provisioner.swarm.session import Place, Share, is_available
from provisioner.swarm.torrent import TORRENT, Torrent, check_torrent, read_torrent

log = logging.getLogger(__name__)

SETTINGS_FILE = Path("/etc/classroom/site-cache.json")
RELEASES = Path("/run/classroom/system/releases")  # as the initramfs mounts it
LAYERS = Path("/run/classroom/state/contest")  # of contests, each in its own folder
# Kernels and loaders are given too while their partition is mounted here.
ESP = Path("/run/classroom/esp")
LOOK_EVERY_S = 5.0
REST_S = 600.0  # after it had grown too large
STATM = Path("/proc/self/statm")
# What a machine that others work at can spare: few connections, small buffers, one thread.
FRUGAL: dict[str, int | bool | str] = {
    "connections_limit": 60,
    "aio_threads": 1,
    "max_queued_disk_bytes": 2 * 1024 * 1024,
    "send_buffer_watermark": 256 * 1024,
    "file_pool_size": 8,
}


def read_settings(path: Path = SETTINGS_FILE) -> SiteCache:
    """The school's limits; the defaults where it has set none or the file is damaged."""
    try:
        return SiteCache.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return SiteCache()
    except (OSError, ValidationError) as error:
        log.warning("%s cannot be used, the defaults hold: %s", path, error)
        return SiteCache()


class Cache:
    """What this machine gives; `turn` it every few seconds, or `run` it in a thread."""

    def __init__(
        self,
        home: Home,
        *,
        releases: Path = RELEASES,
        esp: Path = ESP,
        layers: Path = LAYERS,
        settings: Callable[[], SiteCache] = read_settings,
        options: Sequence[SocketOption] = (),
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._home, self._releases, self._settings = home, releases, settings
        self._layers = layers
        self._roots = {layout.SYSTEM: releases.parent, layout.ESP: esp}
        self._options, self._now = options, now
        self._room: Classroom | None = None
        self._wire: IPv4Interface | None = None
        self._shares: dict[Path, Share] = {}
        self._names: dict[Path, str] = {}
        self._known: dict[str, tuple[float, Torrent | None]] = {}  # by release: manifest's time
        self._base = self._limit = 0
        self._rests_until = float("-inf")
        self._lock = threading.Lock()

    def run(self) -> None:
        """Never returns."""
        if not is_available():
            log.warning("No libtorrent here: nothing is given to the classroom")
            return
        while True:
            with contextlib.suppress(ProvisionerError, OSError, ValueError, RuntimeError):
                self.turn()
            time.sleep(LOOK_EVERY_S)

    def turn(self) -> None:
        """Bring what is given, and how fast, in line with disk, network, hours and memory."""
        settings = self._settings()
        with self._lock:
            if not settings.enabled or time.monotonic() < self._rests_until:
                self._leave()
                return
            self._enter(settings)
            if self._room is None:
                return
            if resident_bytes() - self._base > settings.memory_mib << 20:
                log.warning("The site cache has grown too large; it rests for a while")
                self._rests_until = time.monotonic() + REST_S
                self._leave()
                return
            self._slow_down(self._room, settings)
            self._room.turn()
            self._look(self._room)

    def close(self) -> None:
        with self._lock:
            self._leave()

    @property
    def given(self) -> tuple[str, ...]:
        """The files that are given now, as RELEASE/FILE."""
        return tuple(sorted(self._names[path] for path in self._shares))

    @contextlib.contextmanager
    def room(self) -> Iterator[Classroom | None]:
        """The machine's own room for an update, which the cache leaves alone meanwhile."""
        with self._lock:
            yield self._room

    def _enter(self, settings: SiteCache) -> None:
        """Open the room, or another one when this machine has got another address."""
        wire = own_wire(self._home.station_url, self._options)
        if self._room is not None and wire == self._wire:
            return
        self._leave()
        self._base = resident_bytes()
        self._limit = settings.upload_bytes_s(self._now())
        self._room = Classroom(wire, upload_limit=self._limit, changes=FRUGAL)
        self._wire = wire

    def _leave(self) -> None:
        if self._room is not None:
            self._room.close()
        self._room, self._wire = None, None
        self._shares.clear()

    def _slow_down(self, room: Classroom, settings: SiteCache) -> None:
        limit = settings.upload_bytes_s(self._now())
        if limit != self._limit:
            log.info("The site cache gives at most %d KiB a second now", limit // 1024)
            room.limit_upload(limit)
            self._limit = limit

    def _look(self, room: Classroom) -> None:
        found = dict(self._files())
        for path, share in list(self._shares.items()):
            if path not in found:
                del self._shares[path]
                room.remove(share)
        for path, alone in found.items():
            if path not in self._shares:
                place = Place(path.parent, path.name)
                self._shares[path] = room.share(alone, place, tracker="", whole=True)
                log.info("%s is given to the classroom", path)

    def _files(self) -> Iterator[tuple[Path, bytes]]:
        """Every file beside a manifest that holds, with its own torrent."""
        layers = sorted(self._layers.glob(f"*/*/{MANIFEST}"))
        systems = sorted(self._releases.glob(f"*/{MANIFEST}"))
        for manifest in (*systems, *layers):
            folder = manifest.parent
            torrent = self._torrent(folder)
            for entry in torrent.files if torrent else ():
                place = place_of(entry.path, folder.name)
                path = self._roots[place.label] / place.first
                if manifest in layers:
                    path = folder / entry.path
                if path.is_file() and path.stat().st_size == entry.size:
                    assert torrent is not None
                    self._names[path] = f"{folder.name}/{entry.path}"
                    yield path, torrent.alone(entry.path)

    def _torrent(self, folder: Path) -> Torrent | None:
        """All files of a release; None of one whose manifest is missing or does not hold."""
        try:
            changed = (folder / MANIFEST).stat().st_mtime
        except OSError:
            return None  # begun, or imaged before manifests were kept
        known = self._known.get(folder.name)
        if known is None or known[0] != changed:
            known = (changed, self._read(folder))
            self._known[folder.name] = known
        return known[1]

    def _read(self, folder: Path) -> Torrent | None:
        try:
            manifest = read_manifest(folder, trusted=self._home.station_key)
            if manifest.id != folder.name or manifest.kind is ReleaseKind.LIVE:
                raise UntrustedError(f"The manifest in {folder} is of {manifest.id}.")
            return _carried(folder, manifest)
        except (ProvisionerError, OSError) as error:
            log.warning("%s is not given to the classroom: %s", folder.name, error)
            return None


def _carried(folder: Path, manifest: Manifest) -> Torrent:
    torrent = Torrent(manifest.id, ())
    if any(entry.path == TORRENT for entry in manifest.files):
        torrent = read_torrent((folder / TORRENT).read_bytes())
        check_torrent(torrent, manifest)
    return all_carried(manifest, torrent)


def resident_bytes() -> int:
    """Memory of this process now (proc(5), statm's second number)."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
