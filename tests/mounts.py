"""A mount namespace of our own, for tests that put things in the place of others; needs root."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Iterator
from pathlib import Path

CLONE_NEWNS, MNT_DETACH = 0x20000, 2  # linux/sched.h, umount(2)
MS_BIND, MS_REC_PRIVATE = ctypes.c_ulong(0x1000), ctypes.c_ulong(0x4000 | 0x40000)  # mount(2)
PATIENCE_S = 10.0
_LIBC = ctypes.CDLL(None, use_errno=True)


class NoNamespaceError(Exception):
    """This computer gives us no mount namespace."""


@contextlib.contextmanager
def own_mounts() -> Iterator[None]:
    """This thread and what it starts see mounts that nobody else sees, until the end."""
    folder = Path.cwd()
    before = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    if _LIBC.unshare(CLONE_NEWNS) or _LIBC.mount(b"none", b"/", None, MS_REC_PRIVATE, None):
        os.close(before)
        raise NoNamespaceError(os.strerror(ctypes.get_errno()))
    try:
        yield
    finally:
        _go_back(before)
        os.close(before)
        os.chdir(folder)


def _go_back(namespace: int) -> None:
    """Refused while a thread of a program that was just closed still ends (setns(2), EINVAL)."""
    until = time.monotonic() + PATIENCE_S
    while _LIBC.setns(namespace, CLONE_NEWNS):
        if time.monotonic() > until:
            raise OSError(ctypes.get_errno(), "cannot go back to the common mounts")
        time.sleep(0.1)


def bind(source: Path, place: Path) -> None:
    _must(_LIBC.mount(str(source).encode(), str(place).encode(), None, MS_BIND, None), place)


def mount_tmpfs(place: Path) -> None:
    _must(_LIBC.mount(b"none", str(place).encode(), b"tmpfs", ctypes.c_ulong(0), None), place)


def unmount(place: Path) -> None:
    """At once, also where something is still open."""
    _must(_LIBC.umount2(str(place).encode(), MNT_DETACH), place)


def _must(answer: int, place: Path) -> None:
    if answer:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(place))
