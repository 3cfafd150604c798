"""The one home of libtorrent: a session on the classroom's wire, and the files it shares.

Used alike by the station, which only gives, and by machines, which take and give. libtorrent is
imported when the first session is opened: a machine without it brings its files over HTTP.
All addresses but the wire's own network are refused, both ways; there is no DHT, no port
mapping and no exchange of peers. (A private torrent is never announced by local discovery
either, so that is off: peers know each other from the station's tracker or from `neighbours`.)
"""

from __future__ import annotations

import importlib.util
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Self

from provisioner.errors import ProofMissingError
from provisioner.swarm.standing import Sources as Sources
from provisioner.swarm.standing import Standing as Standing

log = logging.getLogger(__name__)

# libtorrent keeps files below this many blocks of 16 KiB out of memory maps: all of ours. A map
# of a whole image counts as resident memory, and a 1 GiB machine has none to give.
NEVER_MAP = 2**31 - 1
SETTINGS: dict[str, int | bool | str] = {
    # nobody outside: see above
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    # one switch between all of them: congestion control of our own and encryption only cost
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "in_enc_policy": 2,  # pe_disabled
    "out_enc_policy": 2,
    # a classroom is one team: everybody gives to everybody at once, from the first piece on,
    # and short queues let each block come from whoever has it soonest
    "unchoke_slots_limit": -1,
    "request_queue_time": 1,
    "max_out_request_queue": 64,
    "initial_picker_threshold": 0,
    # of equally rare pieces, those beside each other on the disk: an eighth of the seeks that a
    # hard disk makes otherwise (tests/bench/write_order.py; docs/benchmarks.md)
    "piece_extent_affinity": True,
    # two that have all of a file stay friends: one of them may be asked for another
    "close_redundant_connections": False,
    # a cable that was out, a machine that was restarted: back within seconds, any number of times
    "min_reconnect_time": 1,
    "max_failcount": 1000,
    "peer_connect_timeout": 4,
    "peer_timeout": 30,
    "request_timeout": 10,
    "piece_timeout": 5,
    "min_announce_interval": 5,
    "tracker_backoff": 10,
    "stop_tracker_timeout": 1,
    "connection_speed": 200,
    "urlseed_timeout": 10,
    "urlseed_wait_retry": 3,
    # old machines: one thread reads and writes, one checks, few blocks wait in memory
    "mmap_file_size_cutoff": NEVER_MAP,
    "aio_threads": 2,
    "hashing_threads": 1,
    "checking_mem_usage": 64,  # blocks of 16 KiB
    "max_queued_disk_bytes": 8 * 1024 * 1024,
    "file_pool_size": 16,
    "alert_queue_size": 20_000,
}
# The kernel lets a fifth of memory wait to be written (vm.dirty_ratio): with 4 GiB, 40 s of an old
# disk at 20 MB/s, before it takes anything more; and a machine may have other work.
FLUSH_TIMEOUT_S = 600.0
CLOSE_TIMEOUT_S = 30.0
OPEN_FILES = Path("/proc/self/fd")


@dataclass(frozen=True)
class Place:
    """Where one torrent's only file lies: its folder, and its name there now."""

    folder: Path
    name: str

    @property
    def path(self) -> Path:
        return self.folder / self.name


def is_available() -> bool:
    """Whether this system has libtorrent."""
    return importlib.util.find_spec("libtorrent") is not None


class Session:
    """libtorrent on one address of the wire; use as a context manager."""

    def __init__(
        self,
        wire: IPv4Interface,
        *,
        port: int = 0,
        upload_limit: int = 0,
        changes: dict[str, int | bool | str] | None = None,
    ) -> None:
        """Listen on `wire`'s address (port 0: any) and talk to its network only.

        `upload_limit` is in bytes per second, 0 for none.
        """
        import libtorrent

        self._lt: Any = libtorrent
        self.wire = wire
        known = self._lt.default_settings()
        mine = {
            **SETTINGS,
            "listen_interfaces": f"{wire.ip}:{port}",
            "outgoing_interfaces": str(wire.ip),  # of 2.0; later ones leave it to the kernel
            "upload_rate_limit": upload_limit,
            "alert_mask": self._mask(),
            **(changes or {}),
        }
        # Debian's and PyPI's versions do not know all the same settings.
        settings = {name: value for name, value in mine.items() if name in known}
        self._session: Any = self._lt.session(settings)
        self._session.set_ip_filter(self._filter(wire.network))
        self._limit_neighbours(upload_limit)
        self._shares: list[Share] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Say good-bye to the tracker and end; every file is closed afterwards."""
        for share in list(self._shares):
            self.remove(share)
        self._session.pause()
        self._session = None

    @property
    def port(self) -> int:
        return int(self._session.listen_port())

    def share(
        self, torrent: bytes, place: Place, *, tracker: str, whole: bool = False,
        asking: bool = False,
    ) -> Share:  # fmt: skip
        """Take and give the file of `torrent` at `place`; what is there already is checked.

        `whole` says that the file is known to be complete, as the station's are. `asking` takes
        nothing before `Share.take`: only who has what is seen.
        """
        lt = self._lt
        wanted = lt.load_torrent_buffer(torrent)
        wanted.save_path = str(place.folder)
        wanted.renamed_files = {0: place.name}
        wanted.storage_mode = lt.storage_mode_t.storage_mode_allocate
        wanted.trackers = [tracker] if tracker else []
        flags = lt.torrent_flags
        wanted.flags = flags.disable_dht | flags.disable_lsd | flags.disable_pex
        wanted.flags |= flags.apply_ip_filter
        if whole:
            wanted.flags |= flags.seed_mode | flags.upload_mode
        if asking:
            wanted.flags |= flags.upload_mode
        share = Share(lt, self._session.add_torrent(wanted), place, self.turn)
        self._shares.append(share)
        return share

    def remove(self, share: Share, held: int = 0) -> None:
        """Stop sharing a file; it is closed afterwards, but for `held` handles of the caller's."""
        if share in self._shares:
            self._shares.remove(share)
        self._session.remove_torrent(share.handle)
        share.wait_until_closed(held)

    def limit_upload(self, bytes_s: int) -> None:
        """Give no more than this from now on, in bytes per second; 0 is no limit."""
        self._session.apply_settings({"upload_rate_limit": bytes_s})
        self._limit_neighbours(bytes_s)

    def shut_out(self, address: IPv4Address) -> None:
        """Exchange nothing with one address, although it may be on the wire."""
        rules = self._session.get_ip_filter()
        rules.add_rule(str(address), str(address), 1)
        self._session.set_ip_filter(rules)

    def turn(self) -> None:
        """Hear what happened since the last time."""
        by_handle = {share.handle: share for share in self._shares}
        for alert in self._session.pop_alerts():
            share = by_handle.get(getattr(alert, "handle", None))
            if share is not None:
                share.hear(alert)

    def _mask(self) -> int:
        kinds = self._lt.alert.category_t
        return int(
            kinds.error_notification
            | kinds.peer_notification
            | kinds.storage_notification
            | kinds.status_notification
        )

    def _filter(self, network: IPv4Network) -> Any:
        """Everything is blocked (1) but the wire's own network (0)."""
        rules = self._lt.ip_filter()
        for everything in (IPv4Network((0, 0)), IPv6Network((0, 0))):
            rules.add_rule(str(everything[0]), str(everything[-1]), 1)
        rules.add_rule(str(network.network_address), str(network.broadcast_address), 0)
        return rules

    def _limit_neighbours(self, upload_limit: int) -> None:
        """By default a limit does not hold for neighbours; here there is nobody else."""
        neighbours = self._session.local_peer_class_id
        values = self._session.get_peer_class(neighbours)
        if values["upload_limit"] != upload_limit:
            values["upload_limit"] = upload_limit
            self._session.set_peer_class(neighbours, values)


class Share:
    """One file in the swarm."""

    def __init__(self, lt: Any, handle: Any, place: Place, turn: Callable[[], None]) -> None:
        self._lt, self.handle, self.place, self._turn = lt, handle, place, turn
        self.sources = Sources()
        self._flushed = self._renamed = False
        self._trouble: int = 0

    def standing(self) -> Standing:
        """How far it is now; also notes who brought it."""
        self._turn()
        now = self.handle.status(0)
        states = self._lt.torrent_status.states
        checking = now.state in (states.checking_files, states.checking_resume_data)
        return Standing(
            done=now.total_wanted_done,
            checking=checking,
            complete=bool(now.is_seeding) and not checking,
            received=now.total_payload_download,
            peers=now.num_peers,
            error=self._trouble or now.errc.value(),
        )

    def count(self, is_station: Callable[[str], bool]) -> None:
        """Bring the account of `sources` up to date."""
        for peer in self.handle.get_peer_info():
            web = peer.connection_type != self._lt.peer_info.standard_bittorrent
            who = str(peer.ip[0])
            self.sources.add(who, web, peer.total_download, web or is_station(who))

    def missing(self) -> list[int]:
        """Pieces that are not here yet."""
        pieces = self.handle.status(self._lt.torrent_handle.query_pieces).pieces
        return [number for number, here in enumerate(pieces) if not here]

    def around(self) -> list[int]:
        """Of each piece, how many of the neighbours that are connected now have it."""
        return list(self.handle.piece_availability())

    def takers(self) -> list[IPv4Address]:
        """The neighbours that are connected now and lack something."""
        web = self._lt.peer_info.standard_bittorrent
        ready = self._lt.peer_info.connecting | self._lt.peer_info.handshake
        return [
            IPv4Address(str(peer.ip[0]))
            for peer in self.handle.get_peer_info()
            if peer.connection_type == web and not peer.flags & (peer.seed | ready)
        ]

    def put(self, piece: int, data: bytes) -> None:
        """Hand in a piece that came another way; it is checked like any other."""
        self.handle.add_piece(piece, data, 0)

    def take(self, on: bool) -> None:
        """Whether to ask neighbours for pieces; giving goes on either way."""
        if on:
            self.handle.unset_flags(self._lt.torrent_flags.upload_mode)
        else:
            self.handle.set_flags(self._lt.torrent_flags.upload_mode)

    def limit_upload(self, bytes_s: int) -> None:
        """Give no more than this of the file, in bytes per second; 0 is no limit."""
        self.handle.set_upload_limit(bytes_s)

    def in_order(self, on: bool) -> None:
        """Ask for pieces in the order of the disk; for whom nobody else waits."""
        flag = self._lt.torrent_flags.sequential_download
        if on:
            self.handle.set_flags(flag)
        else:
            self.handle.unset_flags(flag)

    def use_web_seed(self, url: str, on: bool) -> None:
        """Take from a web server too (BEP 19), or no longer; `url` is of the file's folder."""
        if on:
            self.handle.add_url_seed(url)
        else:
            self.handle.remove_url_seed(url)

    def connect(self, address: IPv4Address, port: int) -> None:
        """Get to know a peer without the tracker."""
        self.handle.connect_peer((str(address), port))

    def flush(self) -> None:
        """Have everything that arrived handed to the kernel. Raises ProofMissingError."""
        self._flushed = False
        self.handle.flush_cache()
        self._wait(lambda: self._flushed, "its last bytes were not written", FLUSH_TIMEOUT_S)

    def rename(self, name: str) -> None:
        """Give the file its name, while it is shared."""
        self._renamed = False
        self.handle.rename_file(0, name)
        self._wait(lambda: self._renamed, f"it does not get its name {name}")
        self.place = Place(self.place.folder, name)
        if not self.place.path.exists():
            raise ProofMissingError(f"{name} is not there after it was renamed.")

    def recheck(self) -> None:
        """Compare every piece on the disk again."""
        self.handle.force_recheck()

    def pause(self) -> None:
        """Rest, and close the file, so that its disk can be unmounted."""
        self.handle.pause()
        self.wait_until_closed()

    def resume(self) -> None:
        self.handle.resume()

    def wait_until_closed(self, held: int = 0) -> None:
        """Until nobody but the caller, with `held` handles, has it open."""
        self._trouble = 0
        self._wait(lambda: times_open(self.place.path) <= held, "it stays open")

    def hear(self, alert: Any) -> None:
        """Take in what libtorrent says about this file."""
        lt = self._lt
        if isinstance(alert, lt.cache_flushed_alert):
            self._flushed = True
        elif isinstance(alert, lt.file_renamed_alert):
            self._renamed = True
        elif isinstance(alert, lt.peer_ban_alert):
            self._ban(str(alert.endpoint[0]) if hasattr(alert, "endpoint") else str(alert.ip[0]))
        elif isinstance(alert, lt.file_error_alert):
            self._trouble = alert.error.value()
            log.error("%s: %s", self.place.path, alert.message())
        elif isinstance(alert, lt.hash_failed_alert | lt.url_seed_alert | lt.tracker_error_alert):
            log.warning("%s: %s", self.place.name, alert.message())

    def _ban(self, who: str) -> None:
        log.warning(
            "%s sent wrong bytes of %s; nothing more is taken from it", who, self.place.name
        )
        if who not in self.sources.banned:
            self.sources.banned.append(who)

    def _wait(
        self, what: Callable[[], bool], otherwise: str, timeout_s: float = CLOSE_TIMEOUT_S
    ) -> None:
        until = time.monotonic() + timeout_s
        while not what():
            self._turn()
            if self._trouble:
                raise disk_trouble(self._trouble, self.place.path)
            if time.monotonic() > until:
                raise ProofMissingError(f"{self.place.path}: {otherwise}.", "Try again.")
            time.sleep(0.01)


def disk_trouble(number: int, path: Path) -> OSError:
    """The disk's own trouble, as if we had written there ourselves."""
    return OSError(number, os.strerror(number), str(path))


def times_open(path: Path) -> int:
    """How many handles on the file this process holds."""
    return sum(_points_to(link, str(path)) for link in OPEN_FILES.iterdir())


def _points_to(link: Path, path: str) -> bool:
    try:
        return str(link.readlink()) == path
    except OSError:
        return False
