"""Secrets in files: made once, readable by root only, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path


def secret_file(path: Path, make: Callable[[], str]) -> str:
    """The content of a secret file, made by `make()` the first time; mode 0600.

    Written aside and linked into place, so that two programs starting at once agree on one.
    """
    if not path.exists():
        aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(make().rstrip("\n") + "\n")
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):  # the other program was quicker
                os.link(aside, path)
        finally:
            aside.unlink()
    return path.read_text(encoding="utf-8").strip()
