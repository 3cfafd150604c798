"""The station's part in the swarm: it gives every system release that has a torrent.

It listens on its own address on the machines' wire and talks to nobody else. A release that
appears while it runs is given from then on; one that is removed is not. A release is given only
when its manifest holds for the station's own key; a damaged file is found by libtorrent, which
checks each piece when it is asked for the first time.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from pathlib import Path

from provisioner.errors import ProvisionerError, UntrustedError
from provisioner.model.release import Manifest, ReleaseKind
from provisioner.netboot.settings import NetbootSettings
from provisioner.release.catalog import Catalog
from provisioner.release.manifest import file_digest, read_manifest
from provisioner.swarm.carousel import Carousel
from provisioner.swarm.packet import ROOT_BYTES
from provisioner.swarm.session import Place, Session, Share, is_available
from provisioner.swarm.torrent import TORRENT, Torrent, check_torrent, read_torrent

LOOK_EVERY_S = 3.0
# A folder's time moves with the kernel's clock, in steps of up to 10 ms: what changed that
# recently may change again without a sign of it.
SETTLED_S = 1.0
YIELD_EVERY_S = 0.3
# While the carousel sends a file to everybody, this much of its rate is left to single machines
# that cannot hear it: their neighbours have the same pieces and cables of their own.
LEFT_TO_ONE, LEAST_LEFT = 1 / 16, 32_000  # bytes per second

log = logging.getLogger(__name__)


class Seeds:
    """What the station gives; use as a context manager. `trusted` is its public key."""

    def __init__(self, catalog: Catalog, netboot: NetbootSettings, trusted: str) -> None:
        self._catalog, self._netboot, self._trusted = catalog, netboot, trusted
        self._session: Session | None = None
        self._known: dict[str, Torrent | None] = {}
        self._shares: dict[bytes, Share] = {}  # by the root of the file
        self._limited: set[bytes] = set()
        self._changed: float | None = None
        self._carousel = Carousel(netboot.station)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="seeds", daemon=True)

    def __enter__(self) -> Seeds:
        if is_available():
            self._session = Session(self._netboot.station)
            self._carousel.__enter__()
            self._thread.start()
        else:
            log.warning("No libtorrent here: every machine fetches its own copy over HTTP")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._session is not None:
            self._thread.join(timeout=LOOK_EVERY_S * 2)
            self._carousel.__exit__(None, None, None)
            self._session.close()

    @property
    def given(self) -> tuple[str, ...]:
        """The releases that are given now."""
        return tuple(sorted(release for release, torrent in self._known.items() if torrent))

    def look(self) -> None:
        """Bring what is given in line with the catalogue, when that has changed."""
        with self._lock:
            if self._session is not None:
                self._look(self._session)

    def _look(self, session: Session) -> None:
        session.turn()
        changed = _time_of(self._catalog.root)
        if changed == self._changed:
            return
        found = [found.id for found in self._catalog.list() if found.kind is ReleaseKind.SYSTEM]
        self._known = {
            release: self._known[release] if release in self._known else self._torrent(release)
            for release in found
        }
        self._give(session)
        self._changed = changed if time.time() - changed > SETTLED_S else None

    def _give(self, session: Session) -> None:
        """Share exactly the files of the known torrents; one that two releases have, once."""
        files = {
            entry.root: (torrent.alone(entry.path), self._catalog.root / release / entry.path)
            for release, torrent in self._known.items()
            if torrent
            for entry in torrent.files
        }
        self._carousel.offer(
            (entry, self._catalog.root / release / entry.path)
            for release, torrent in self._known.items()
            if torrent
            for entry in torrent.files
        )
        for root, share in list(self._shares.items()):
            if root not in files or not share.place.path.exists():
                session.remove(self._shares.pop(root))
        for root, (alone, path) in files.items():
            if root not in self._shares:
                self._shares[root] = session.share(
                    alone, Place(path.parent, path.name),
                    tracker=f"{self._netboot.station_url}/announce", whole=True,
                )  # fmt: skip

    def _yield(self) -> None:
        """Let the carousel have the station's cable, for as long as it turns."""
        with self._lock:
            rates = self._carousel.rates()
            for root, share in self._shares.items():
                rate = rates.get(root[:ROOT_BYTES], 0.0)
                if rate or root in self._limited:
                    left = max(round(rate * LEFT_TO_ONE), LEAST_LEFT) if rate else 0
                    share.limit_upload(left)
                    (self._limited.add if rate else self._limited.discard)(root)

    def _torrent(self, release: str) -> Torrent | None:
        """What of a release is given: nothing of an older one, or of one that does not hold."""
        folder = self._catalog.folder(release)
        try:
            return trusted_torrent(folder, read_manifest(folder, trusted=self._trusted))
        except (ProvisionerError, OSError) as error:
            log.error("%s is not given to the swarm: %s", release, error)
            return None

    def _run(self) -> None:
        looked = -LOOK_EVERY_S
        while not self._stop.is_set():
            if time.monotonic() - looked >= LOOK_EVERY_S:
                looked = time.monotonic()
                with contextlib.suppress(ProvisionerError, OSError):
                    self.look()
            self._yield()
            self._stop.wait(YIELD_EVERY_S)


def trusted_torrent(folder: Path, manifest: Manifest) -> Torrent | None:
    """The torrent in a release's folder, if the manifest lists one. Raises UntrustedError."""
    promised = next((entry for entry in manifest.files if entry.path == TORRENT), None)
    if promised is None:
        return None
    path = folder / TORRENT
    if file_digest(path) != promised.sha256:
        raise UntrustedError(f"{path} is not what was signed.", "Build the release again.")
    torrent = read_torrent(path.read_bytes())
    check_torrent(torrent, manifest)
    return torrent


def _time_of(root: Path) -> float:
    """0 where there is no such folder."""
    try:
        return root.stat().st_mtime
    except FileNotFoundError:
        return 0.0
