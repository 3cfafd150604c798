"""Files that are whole or not there, and on the disk before anybody is told so."""

from __future__ import annotations

import os
from pathlib import Path

PART = ".part"


def write_new(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Write a file that appears whole; when this returns it survives a power cut.

    Written aside, flushed, renamed, and the folder flushed. Writing the same again changes
    nothing.
    """
    aside = path.with_name(f".{path.name}{PART}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    aside.replace(path)
    sync_folder(path.parent)


def append(path: Path, offset: int, data: bytes) -> int:
    """Put `data` at `offset` of a growing file and flush it; returns the file's length.

    Nothing is written when the file is shorter than `offset` or already longer than what comes.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o640)
    try:
        length = os.fstat(handle).st_size
        if offset <= length < offset + len(data):
            view, at = memoryview(data), offset
            while view:
                written = os.pwrite(handle, view, at)
                view, at = view[written:], at + written
            os.fsync(handle)
            length = at
        return length
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
