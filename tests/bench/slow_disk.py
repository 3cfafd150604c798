"""A slow disk: a file in the place of one, with a rate, a cost for each seek, and counters.

    python -m tests.bench.slow_disk BACKING MOUNT BYTES RATE SEEK_MS

Serves two files at MOUNT over FUSE: `disk`, every read and write of which waits its time and
goes past the page cache, and `counts` (JSON). One head: a request that begins elsewhere than the
one before ended costs a seek; each byte costs 1/RATE, reading as writing. There is no cache and
no reordering in the drive; what the kernel above it sorts and merges is the kernel's. Discarding
is not offered, as old disks do not.

FUSE in the kernel's own protocol (linux/fuse.h, version 7.31), because the kernels that the
benchmark must run on have no device mapper, and what Debian 12 packages has no cost of seeks.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
RATE, SEEK_MS = 20_000_000, 8.0  # bytes a second; an old desktop's drive in the mean
# A drive goes on with what it was sent while the answer travels: without this much slack the
# processor's time between two requests would count as the disk's.
BEHIND_S = 0.02
HARDWARE_NICE = -15
DISK, COUNTS = "disk", "counts"
_ROOT_NODE, _DISK_NODE, _COUNTS_NODE = 1, 2, 3
_MAX_WRITE = 1 << 20
_MINE = 0x1 | 0x20 | 0x8000 | 0x400000  # async read, big writes, async direct I/O, max pages
_DIRECT_IO = 1
_HEADER = struct.Struct("<IIQQIIIHH")
_ATTR = struct.Struct("<QQQQQQIIIIIIIIII")


@dataclass
class Head:
    """Where the head is, when it is free, and what it has done."""

    rate: float
    seek_s: float
    at: int = 0
    free: float = 0.0
    counts: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("read", "written", "seeks", "requests", "busy"), 0)
    )

    def move(self, start: int, size: int, kind: str) -> float:
        """Account for one request; when it is done, in the monotonic clock's seconds."""
        seek = start != self.at
        cost = (self.seek_s if seek else 0.0) + size / self.rate
        self.free = max(self.free, time.monotonic() - BEHIND_S) + cost
        self.at = start + size
        self.counts[kind] += size
        self.counts["requests"] += 1
        self.counts["seeks"] += seek
        self.counts["busy"] += cost
        return self.free


class Server:
    """The kernel's requests, one after the other."""

    def __init__(self, fuse: int, backing: int, head: Head) -> None:
        self._fuse, self._backing, self._head = fuse, backing, head
        self._size = os.fstat(backing).st_size
        self._answers = {
            1: self._lookup, 3: self._getattr, 4: self._getattr, 14: self._open, 15: self._read,
            16: self._write, 17: self._statfs, 18: self._nothing, 20: self._nothing,
            25: self._nothing, 26: self._init, 27: self._open, 29: self._nothing,
        }  # fmt: skip

    def serve(self) -> None:
        """Until it is unmounted."""
        while True:
            try:
                request = os.read(self._fuse, _MAX_WRITE + 65536)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                    continue
                if error.errno == errno.ENODEV:
                    return
                raise
            _, kind, unique, node, *_ = _HEADER.unpack_from(request)
            if kind in (2, 36, 42):  # forget, interrupt, batch forget: never answered
                continue
            answer = self._answers.get(kind)
            try:
                body = answer(node, request[_HEADER.size :]) if answer else errno.ENOSYS
            except OSError as error:
                body = error.errno or errno.EIO
            self._say(unique, body)

    def _say(self, unique: int, body: bytes | int) -> None:
        data = b"" if isinstance(body, int) else body
        failure = -body if isinstance(body, int) else 0
        with contextlib.suppress(FileNotFoundError):  # it was interrupted meanwhile
            os.write(self._fuse, struct.pack("<IiQ", 16 + len(data), failure, unique) + data)

    def _init(self, _node: int, body: bytes) -> bytes:
        ahead, offered = struct.unpack_from("<II", body, 8)
        return struct.pack(
            "<IIIIHHIIHHIIHH20x", 7, 31, ahead, offered & _MINE, 64, 48, _MAX_WRITE, 1,
            _MAX_WRITE // 4096, 0, 0, 0, 0, 0,
        )  # fmt: skip

    def _lookup(self, _node: int, body: bytes) -> bytes | int:
        nodes = {DISK: _DISK_NODE, COUNTS: _COUNTS_NODE}
        node = nodes.get(body.rstrip(b"\0").decode())
        if node is None:
            return errno.ENOENT
        return struct.pack("<QQQQII", node, 0, 3600, 3600, 0, 0) + self._attr(node)

    def _getattr(self, node: int, _body: bytes) -> bytes:
        return struct.pack("<QII", 3600, 0, 0) + self._attr(node)

    def _attr(self, node: int) -> bytes:
        size = {_DISK_NODE: self._size, _COUNTS_NODE: 4096}.get(node, 0)
        kind = stat.S_IFDIR | 0o755 if node == _ROOT_NODE else stat.S_IFREG | 0o600
        return _ATTR.pack(node, size, size // 512, 0, 0, 0, 0, 0, 0, kind, 1, 0, 0, 0, 4096, 0)

    def _open(self, node: int, _body: bytes) -> bytes:
        return struct.pack("<QII", node, _DIRECT_IO, 0)

    def _read(self, node: int, body: bytes) -> bytes:
        _, start, size = struct.unpack_from("<QQI", body)
        if node == _COUNTS_NODE:
            return json.dumps(self._head.counts).encode()[start : start + size]
        data = os.pread(self._backing, size, start)
        _sleep_until(self._head.move(start, size, "read"))
        return data

    def _write(self, node: int, body: bytes) -> bytes | int:
        _, start, size = struct.unpack_from("<QQI", body)
        if node != _DISK_NODE:
            return errno.EACCES
        os.pwrite(self._backing, memoryview(body)[40 : 40 + size], start)
        _sleep_until(self._head.move(start, size, "written"))
        return struct.pack("<II", size, 0)

    def _statfs(self, _node: int, _body: bytes) -> bytes:
        return struct.pack("<QQQQQIII28x", self._size // 4096, 0, 0, 2, 0, 4096, 255, 4096)

    def _nothing(self, _node: int, _body: bytes) -> bytes:
        return b""


def _sleep_until(when: float) -> None:
    if (left := when - time.monotonic()) > 0:
        time.sleep(left)


@dataclass(frozen=True)
class SlowDisk:
    """A slow disk that is there."""

    path: Path

    def counts(self) -> dict[str, float]:
        """Bytes read and written, seeks, requests, and seconds busy, since the beginning."""
        found: dict[str, float] = json.loads((self.path.parent / COUNTS).read_bytes())
        return found


@contextlib.contextmanager
def slow_disk(
    folder: Path, size: int, rate: int = RATE, seek_ms: float = SEEK_MS
) -> Iterator[SlowDisk]:
    """An empty slow disk of `size` bytes below `folder`, served by a process of its own."""
    mount, backing = folder / "slow", folder / "slow.backing"
    mount.mkdir(parents=True, exist_ok=True)
    with backing.open("wb") as file:
        file.truncate(size)
    words = [sys.executable, "-m", __spec__.name, backing, mount, size, rate, seek_ms]
    server = subprocess.Popen([str(word) for word in words], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n", "the slow disk does not start"
        yield SlowDisk(mount / DISK)
    finally:
        subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
        server.kill()
        server.wait(timeout=60)
        backing.unlink()


def _mount(point: Path) -> int:
    """Mount FUSE there ourselves; the descriptor that the kernel's requests come from."""
    libc = ctypes.CDLL(None, use_errno=True)
    fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other"
    words = [b"slow-disk", str(point).encode(), b"fuse", ctypes.c_ulong(0), options.encode()]
    if libc.mount(*words):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(point))
    return fuse


def main(backing: str, mount: str, size: str, rate: str, seek_ms: str) -> None:
    handle = os.open(backing, os.O_RDWR | os.O_CLOEXEC)
    assert os.fstat(handle).st_size == int(size)
    fuse = _mount(Path(mount))
    with contextlib.suppress(OSError):  # a disk does not wait for the machine's processor
        os.setpriority(os.PRIO_PROCESS, 0, HARDWARE_NICE)
    print("ready", flush=True)
    Server(fuse, handle, Head(float(rate), float(seek_ms) / 1000)).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
