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
from pathlib import Path
from types import TracebackType

from provisioner.errors import ProvisionerError, UntrustedError
from provisioner.model.release import Manifest, ReleaseKind
from provisioner.netboot.settings import NetbootSettings
from provisioner.release.catalog import Catalog
from provisioner.release.manifest import file_digest, read_manifest
from provisioner.swarm.session import Place, Session, Share, is_available
from provisioner.swarm.torrent import TORRENT, Torrent, check_torrent, read_torrent

LOOK_EVERY_S = 3.0

log = logging.getLogger(__name__)


class Seeds:
    """What the station gives; use as a context manager. `trusted` is its public key."""

    def __init__(self, catalog: Catalog, netboot: NetbootSettings, trusted: str) -> None:
        self._catalog, self._netboot, self._trusted = catalog, netboot, trusted
        self._session: Session | None = None
        self._given: dict[str, list[Share]] = {}
        self._refused: set[str] = set()
        self._changed: float | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="seeds", daemon=True)

    def __enter__(self) -> Seeds:
        if is_available():
            self._session = Session(self._netboot.station)
            self._thread.start()
        else:
            log.warning("No libtorrent here: every machine fetches its own copy over HTTP")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._session is not None:
            self._thread.join(timeout=LOOK_EVERY_S * 2)
            self._session.close()

    @property
    def given(self) -> tuple[str, ...]:
        """The releases that are given now."""
        return tuple(sorted(self._given))

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
        found = {
            entry.id: entry for entry in self._catalog.list() if entry.kind is ReleaseKind.SYSTEM
        }
        for release in set(self._given) - set(found):
            for share in self._given.pop(release):
                session.remove(share)
        for release in sorted(set(found) - set(self._given) - self._refused):
            self._give(session, release)
        self._changed = changed

    def _give(self, session: Session, release: str) -> None:
        folder = self._catalog.folder(release)
        try:
            torrent = trusted_torrent(folder, read_manifest(folder, trusted=self._trusted))
        except (ProvisionerError, OSError) as error:
            self._refused.add(release)
            log.error("%s is not given to the swarm: %s", release, error)
            return
        if torrent is None:
            self._refused.add(release)  # an older release: its files go over HTTP
            return
        self._given[release] = [
            session.share(
                torrent.alone(entry.path),
                Place((folder / entry.path).parent, (folder / entry.path).name),
                tracker=f"{self._netboot.station_url}/announce",
                whole=True,
            )
            for entry in torrent.files
        ]

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(ProvisionerError, OSError):
                self.look()
            self._stop.wait(LOOK_EVERY_S)


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


def _time_of(root: Path) -> float | None:
    try:
        return root.stat().st_mtime
    except FileNotFoundError:
        return None
