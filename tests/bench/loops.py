"""What stands for disks in benchmarks: loop devices past the page cache, folders in memory."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from provisioner.errors import CommandError
from provisioner.run import run

# Debian's choice for a turning disk with one queue; loop devices have none by themselves.
ELEVATOR = "mq-deadline"
MEMORY, SPARE_BYTES = Path("/dev/shm"), 4 << 30


def end_cleanly() -> None:
    """Have an end from outside remove mounts and devices too, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


@contextlib.contextmanager
def folder_of_disks(prefix: str, size: int) -> Iterator[Path]:
    """A folder for the disks of many machines, removed at the end; `size` is what they hold.

    In memory where there is room: 25 machines have 25 disks, and one disk under all of them
    would be what is measured.
    """
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2 * size + SPARE_BYTES
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if roomy else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def attach(disk: Path, start: int = 0, length: int = 0, *, read_only: bool = False) -> Path:
    """`length` bytes of `disk` from `start` as a block device.

    Another program may take the device that losetup found: then it looks again.
    """
    words = ["--direct-io=on", "-o", str(start), *(["--read-only"] if read_only else [])]
    words += ["--sizelimit", str(length)] if length else []
    for _ in range(10):
        done = run(["losetup", "--find", "--show", *words, disk], timeout_s=20, check=False)
        if done.code == 0:
            node = Path(done.stdout.strip())
            queue = Path("/sys/block") / node.name / "queue"
            with contextlib.suppress(OSError):
                (queue / "scheduler").write_text(ELEVATOR)
                (queue / "rotational").write_text("1")
            return node
    raise AssertionError(done.stderr)


def detach(node: Path) -> None:
    run(["losetup", "--detach", node], timeout_s=60, check=False)


def detach_all(disk: Path) -> None:
    """What a process that was killed left behind of this disk."""
    shown = run(["losetup", "--noheadings", "-O", "NAME", "-j", disk], timeout_s=20, check=False)
    for name in shown.stdout.split():
        detach(Path(name))


@contextlib.contextmanager
def attached(
    disk: Path, start: int = 0, length: int = 0, *, read_only: bool = False
) -> Iterator[Path]:
    node = attach(disk, start, length, read_only=read_only)
    try:
        yield node
    finally:
        detach(node)


@contextlib.contextmanager
def mounted(node: Path, point: Path, *, read_only: bool = False) -> Iterator[Path]:
    """The file system on `node`, unmounted and so flushed at the end."""
    point.mkdir(parents=True, exist_ok=True)
    run(["mount", *(["-o", "ro"] if read_only else []), node, point], timeout_s=120)
    try:
        yield point
    finally:
        run(["umount", point], timeout_s=600)


def kernel_knows(kind: str) -> bool:
    """Whether this kernel has a file system, perhaps after loading it."""
    with contextlib.suppress(CommandError):
        run(["modprobe", "--quiet", kind], timeout_s=20, check=False)
    return kind in Path("/proc/filesystems").read_text().split()
