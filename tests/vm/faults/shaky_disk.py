"""A disk that fails or lies as a test tells it to: one file of a small FUSE file system.

    with ShakyDisk(folder, size) as disk:
        disk.rule("drop", start=0, stop=4096)

`disk.medium` is a plain sparse file: what *truly* lies on the medium, to be looked at with tools
that are not ours. `disk.device` is a loop device over the FUSE file: what a machine sees of it.
The kernel's own FUSE protocol is spoken here (linux/fuse.h, version 7.31), so no library is
needed. The server is a process of its own; pulling its power loses what was not flushed.

Rules (places in bytes, `stop` excluded):

    eio-read, eio-write   the block cannot be read or written
    drop                  writes are confirmed and forgotten
    share                 writes to `of_1000` of 1,000 blocks of 64 KiB are confirmed and forgotten
    wrap                  the medium is `size` bytes long and pretends to be longer
    flip                  bit `bit` of byte `byte` turns over at the flush number `flush`
    read-flip             every read of `byte` comes with its lowest bit turned over
    off                   the power fails once `after` bytes were written; from then on EIO
    slow                  each request takes `seconds`

A rule with `since` begins after so many flushes.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import random
import stat
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from provisioner.run import run

MAX_IO = 1024 * 1024
NAME = b"disk"
ROOT_NODE, DISK_NODE = 1, 2
IN, OUT = struct.Struct("<IIQQIIIHH"), struct.Struct("<IiQ")
LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, STATFS = 1, 2, 3, 4, 14, 15, 16, 17
RELEASE, FSYNC, INIT, OPENDIR, RELEASEDIR, DESTROY, BATCH_FORGET = 18, 20, 26, 27, 29, 38, 42
SILENT = frozenset({FORGET, BATCH_FORGET})
ASYNC_READ, BIG_WRITES, MAX_PAGES, DIRECT_IO = 1 << 0, 1 << 5, 1 << 22, 1
GRAIN = 64 * 1024
_ZEROS = bytes(MAX_IO)
Rule = dict[str, Any]


class ShakyDisk:
    """The disk as tests use it. A context manager; nothing is left behind."""

    def __init__(self, folder: Path, size: int, sector: int = 512) -> None:
        self.folder, self.size, self.sector = folder, size, sector
        self.medium = folder / "medium"
        self._mount = folder / "fuse"
        self._server: subprocess.Popen[bytes] | None = None
        self.device = Path("/nonexistent")

    def __enter__(self) -> ShakyDisk:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._mount.mkdir(exist_ok=True)
        with self.medium.open("ab") as file:
            file.truncate(self.size)
        self.power_on()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.power_off()

    def power_on(self) -> None:
        """Plug it in: an honest disk until a rule says otherwise."""
        words = [sys.executable, "-m", "tests.vm.faults.shaky_disk"]
        root = Path(__file__).parents[3]
        self._server = subprocess.Popen(
            [*words, str(self.medium), str(self._mount)], cwd=root,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(root)},
        )  # fmt: skip
        assert self._hear()["ready"]
        self.device = loop_device(self._mount / NAME.decode(), sector=self.sector)

    def power_off(self) -> None:
        """Unplug it. Whatever the kernel still holds of it is detached."""
        if self._server is None:
            return
        run(["losetup", "--detach", self.device], timeout_s=20, check=False)
        run(["umount", "--lazy", self._mount], timeout_s=20, check=False)
        with contextlib.suppress(OSError):
            self._server.kill()
        self._server.communicate()
        self._server = None

    def rule(self, kind: str, **words: Any) -> None:
        """One more thing that is wrong with it, from now on."""
        self._ask({"kind": kind, **words})

    def mend(self) -> None:
        """An honest disk again; counters start at zero."""
        self._ask({"kind": "mend"})

    def told(self) -> dict[str, int]:
        """What the disk counted since it was mended: bytes written, flushes, faults it made."""
        return self._ask({"kind": "count"})

    def flip(self, byte: int, bit: int) -> None:
        """Turn one bit of the medium over, now."""
        with self.medium.open("r+b", buffering=0) as file:
            flip_bit(file, byte, bit)

    def _ask(self, words: Rule) -> dict[str, Any]:
        assert self._server is not None
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(words).encode() + b"\n")
        self._server.stdin.flush()
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._server is not None
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        assert line, "the disk's server has ended"
        return dict(json.loads(line))


def loop_device(
    backing: Path, *, start: int = 0, size: int = 0, sector: int = 512, read_only: bool = False
) -> Path:
    """A loop device over a file, or over a part of it. Detach it when done."""
    words = ["--offset", str(start), *(["--sizelimit", str(size)] if size else [])]
    words += ["--sector-size", str(sector), *(["--read-only"] if read_only else [])]
    for _ in range(10):  # another program may take the device that losetup has found
        done = run(["losetup", "--find", "--show", *words, backing], timeout_s=20, check=False)
        if done.code == 0:
            return Path(done.stdout.strip())
    raise AssertionError(done.stderr)


def flip_bit(file: BinaryIO, byte: int, bit: int) -> None:
    handle = file.fileno()
    os.pwrite(handle, bytes([os.pread(handle, 1, byte)[0] ^ (1 << bit)]), byte)


class Server:
    """The other side: answers the kernel, with the rules in mind."""

    def __init__(self, medium: Path, mount: Path) -> None:
        self.medium = os.open(medium, os.O_RDWR)
        self.file = os.fdopen(os.dup(self.medium), "r+b", buffering=0)
        self.size = medium.stat().st_size
        self.rules: list[Rule] = []
        self.lock = threading.Lock()
        self.chance = random.Random(1)
        self.off = False
        self.undo: list[tuple[int, bytes]] = []
        self.mend()
        self.fuse = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self.fuse},rootmode=40000,user_id=0,group_id=0,max_read={MAX_IO}"
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"shaky", bytes(mount), b"fuse", 0, options.encode()):
            raise OSError(ctypes.get_errno(), "mount")

    def mend(self) -> None:
        self.rules, self.off = [], False
        self.written = self.flushes = self.faults = 0
        self.undo.clear()

    def obey(self, words: Rule) -> dict[str, int]:
        """One line from the test."""
        with self.lock:
            if words["kind"] == "mend":
                self.mend()
            elif words["kind"] != "count":
                self.rules.append(words)
            return {"written": self.written, "flushes": self.flushes, "faults": self.faults}

    def serve(self) -> None:
        """Until the file system is unmounted."""
        while True:
            try:
                message = os.read(self.fuse, MAX_IO + 4096)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                    continue
                return
            head = IN.unpack_from(message)
            try:
                with self.lock:
                    body, code = self.answer(head[1], head[3], memoryview(message)[IN.size :]), 0
            except OSError as error:
                body, code = b"", error.errno or errno.EIO
            if head[1] not in SILENT:
                with contextlib.suppress(OSError):
                    os.write(self.fuse, OUT.pack(OUT.size + len(body), -code, head[2]) + body)

    def answer(self, opcode: int, node: int, said: memoryview) -> bytes:
        """The body of the answer to one request. Raises OSError for an error."""
        if opcode == INIT:
            flags = ASYNC_READ | BIG_WRITES | MAX_PAGES
            return struct.pack(
                "<IIIIHHIIHHII24x", 7, 31, MAX_IO, flags, 16, 12, MAX_IO, 1, MAX_IO // 4096, 0, 0, 0
            )
        if opcode == LOOKUP:
            if bytes(said).rstrip(b"\0") != NAME:
                raise OSError(errno.ENOENT, "")
            return struct.pack("<QQQQII", DISK_NODE, 1, 3600, 3600, 0, 0) + self.attributes(node=2)
        if opcode in (GETATTR, SETATTR):
            return struct.pack("<QII", 3600, 0, 0) + self.attributes(node)
        if opcode in (OPEN, OPENDIR):
            return struct.pack("<QIi", 1, DIRECT_IO if opcode == OPEN else 0, 0)
        if opcode == READ:
            _, start, length = struct.unpack_from("<QQI", said)
            return self.read(start, length)
        if opcode == WRITE:
            _, start, length = struct.unpack_from("<QQI", said)
            self.write(start, bytes(said[40 : 40 + length]))
            return struct.pack("<II", length, 0)
        if opcode == FSYNC:
            self.flush()
            return b""
        if opcode == STATFS:
            return struct.pack("<5Q4I24x", self.size // 4096, 0, 0, 1, 0, 4096, 255, 4096, 0)
        if opcode in (RELEASE, RELEASEDIR, DESTROY):
            return b""
        raise OSError(errno.ENOSYS, "")

    def attributes(self, node: int) -> bytes:
        kind = stat.S_IFREG | 0o600 if node == DISK_NODE else stat.S_IFDIR | 0o755
        size = self.size if node == DISK_NODE else 0
        return struct.pack("<6Q10I", node, size, size // 512, 0, 0, 0, 0, 0, 0,
                           kind, 1, 0, 0, 0, 4096, 0)  # fmt: skip

    def read(self, start: int, length: int) -> bytes:
        self.stumble("eio-read", start, start + length)
        data = b"".join(
            os.pread(self.medium, size, place) for place, _, size in self.pieces(start, length)
        )
        for rule in self.of("read-flip"):
            if start <= rule["byte"] < start + len(data):
                self.faults += 1
                at = rule["byte"] - start
                data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        return data

    def write(self, start: int, data: bytes) -> None:
        self.stumble("eio-write", start, start + len(data))
        for place, at, size in self.pieces(start, len(data)):
            if self.forgets(place, size):
                self.faults += 1
                continue
            if any(self.of("off")):
                self.undo.append((place, os.pread(self.medium, size, place)))
            self.put(place, data[at : at + size])
        self.written += len(data)
        for rule in self.of("off"):
            if self.written >= rule["after"]:
                self.lose_power()

    def put(self, place: int, data: bytes) -> None:
        """Zeros where zeros are need no room: a disk of 3 GB stays a small file."""
        blank = _ZEROS[: len(data)]
        if data != blank or os.pread(self.medium, len(data), place) != blank:
            os.pwrite(self.medium, data, place)

    def flush(self) -> None:
        if self.off:
            raise OSError(errno.EIO, "")
        self.flushes += 1
        self.undo.clear()
        for rule in self.of("flip"):
            if rule["flush"] == self.flushes:
                self.faults += 1
                flip_bit(self.file, rule["byte"], rule["bit"])

    def lose_power(self) -> None:
        """Of what was not flushed, any part may be lost."""
        self.off = True
        self.faults += 1
        for place, before in reversed(self.undo):
            if self.chance.random() < 0.5:
                os.pwrite(self.medium, before, place)
        raise OSError(errno.EIO, "")

    def stumble(self, kind: str, start: int, stop: int) -> None:
        for rule in self.of("slow"):
            time.sleep(rule["seconds"])
        if self.off:
            raise OSError(errno.EIO, "")
        for rule in self.of(kind):
            if start < rule["stop"] and rule["start"] < stop:
                self.faults += 1
                raise OSError(errno.EIO, "")

    def forgets(self, place: int, size: int) -> bool:
        for rule in self.of("share"):
            if (
                random.Random(f"{rule.get('seed')} {place // GRAIN}").randrange(1000)
                < rule["of_1000"]
            ):
                return True
        return any(place < rule["stop"] and rule["start"] < place + size
                   for rule in self.of("drop"))  # fmt: skip

    def pieces(self, start: int, length: int) -> list[tuple[int, int, int]]:
        """Where on the medium the bytes of a request lie: place, place in the request, length."""
        limit = next((rule["size"] for rule in self.of("wrap")), self.size)
        grain = GRAIN if any(self.of("share")) or any(self.of("drop")) else MAX_IO * 2
        found, at = [], 0
        while at < length:
            place = (start + at) % limit
            size = min(length - at, limit - place, grain - place % grain)
            found.append((place, at, size))
            at += size
        return found

    def of(self, kind: str) -> list[Rule]:
        return [rule for rule in self.rules
                if rule["kind"] == kind and rule.get("since", 0) <= self.flushes]  # fmt: skip


def main(medium: Path, mount: Path) -> None:
    server = Server(medium, mount)
    threading.Thread(target=server.serve, daemon=True).start()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:  # ends with the test, however that ends
        print(json.dumps(server.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
