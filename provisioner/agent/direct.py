"""Reading and writing past the page cache: what is proved here lies on the medium.

O_DIRECT wants buffers, offsets and lengths aligned to the logical sector (512 or 4096 bytes);
anonymous memory maps are page-aligned. The kernel flushes what is still in memory before it
reads that way.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import DiskFaultError

BLOCK = 4 * 1024 * 1024
ALIGN = 4096
BLKGETSIZE64, BLKSSZGET, BLKFLSBUF = 0x80081272, 0x1268, 0x1261  # linux/fs.h
DROP_CACHES = Path("/proc/sys/vm/drop_caches")

Report = Callable[[int, int], None]  # bytes done, bytes in all


@dataclass(frozen=True)
class Digest:
    """What was read back: bytes, SHA-256, and whether it came past the page cache.

    A file that was proved while it grew has the root of its hash tree instead.
    """

    size: int
    sha256: str
    direct: bool
    merkle: str = ""


def nothing(_done: int, _total: int) -> None:
    """The `Report` of a caller who does not care."""


def buffer(size: int = BLOCK) -> mmap.mmap:
    """Zeroed memory that O_DIRECT accepts."""
    return mmap.mmap(-1, size)


@contextlib.contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """A file descriptor, closed at the end."""
    handle = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def opened_for_proof(path: Path) -> Iterator[tuple[int, bool]]:
    """A descriptor that reads past the page cache, and whether it truly does.

    A file system that refuses O_DIRECT gets its pages written out and dropped instead; that is
    good evidence but not the same, so the flag says so.
    """
    try:
        handle, direct = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC), True
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
        handle, direct = os.open(path, os.O_RDONLY | os.O_CLOEXEC), False
    try:
        if not direct:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            drop_caches()
        yield handle, direct
    finally:
        os.close(handle)


def drop_caches() -> None:
    """Forget clean pages of all file systems, where we may."""
    os.sync()
    with contextlib.suppress(OSError):
        DROP_CACHES.write_text("3\n")


def digest_of_file(path: Path, report: Report = nothing) -> Digest:
    """A whole file, read back past the page cache."""
    size = path.stat().st_size
    with opened_for_proof(path) as (handle, direct):
        return Digest(size, _hash(handle, 0, size, report), direct)


def digest_of_range(device: Path, start: int, size: int) -> Digest:
    """`size` bytes of a block device from byte `start`, which must be aligned."""
    with opened_for_proof(device) as (handle, direct):
        return Digest(size, _hash(handle, start, size, nothing), direct)


def sha256_direct(path: Path, size: int, report: Report = nothing) -> str:
    """The first `size` bytes of a file or device. Raises DiskFaultError when it is shorter."""
    with opened_for_proof(path) as (handle, _):
        return _hash(handle, 0, size, report)


def read_exactly(handle: int, start: int, size: int) -> bytes:
    """`size` bytes from the aligned byte `start`, past the page cache."""
    room = buffer(-(-size // ALIGN) * ALIGN)
    got = os.preadv(handle, [room], start)
    if got < size:
        raise DiskFaultError(
            f"The disk gave {got} instead of {size} bytes at byte {start}.", "Replace the disk."
        )
    return room[:size]


def write_exactly(handle: int, start: int, data: mmap.mmap | memoryview) -> None:
    """All of an aligned buffer to the aligned byte `start`."""
    view = memoryview(data)
    while view:
        wrote = os.pwritev(handle, [view], start)
        if wrote <= 0:
            raise DiskFaultError(f"The disk takes no more at byte {start}.", "Replace the disk.")
        view, start = view[wrote:], start + wrote


def forget_pages(handle: int) -> None:
    """Write out and forget what the kernel keeps in memory of a block device; files have none."""
    os.fsync(handle)
    with contextlib.suppress(OSError):
        fcntl.ioctl(handle, BLKFLSBUF)


def device_size(handle: int) -> int:
    """Bytes of a block device, as the kernel counts them now; of a file, its length."""
    try:
        return int(struct.unpack("Q", fcntl.ioctl(handle, BLKGETSIZE64, bytes(8)))[0])
    except OSError:
        return os.fstat(handle).st_size


def sector_size(handle: int) -> int:
    """Logical sector of a block device, in bytes; 512 for a file."""
    try:
        return int(struct.unpack("I", fcntl.ioctl(handle, BLKSSZGET, bytes(4)))[0])
    except OSError:
        return 512


def _hash(handle: int, start: int, size: int, report: Report) -> str:
    digest, done = hashlib.sha256(), 0
    room_size = min(BLOCK, -(-max(size, 1) // ALIGN) * ALIGN)
    with contextlib.closing(buffer(room_size)) as room, memoryview(room) as view:
        while done < size:
            got = min(os.preadv(handle, [room], start + done), size - done)
            if got <= 0:
                raise DiskFaultError(f"Nothing can be read at byte {start + done}.")
            digest.update(view[:got])
            done += got
            report(done, size)
    return digest.hexdigest()
