"""Indexes in a tree that packages renew when they are installed, and that our own files change.

Settings of the desktop, file types and menus are read from compiled indexes; after laying our
files over a tree they are made anew, by the tree's own programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import ProofMissingError
from provisioner.release.boxed import run_inside

REFRESH_S = 1800


@dataclass(frozen=True)
class Index:
    """A compiled file, the program that makes it (with arguments), and what it is made from."""

    made: str
    program: str
    arguments: tuple[str, ...]
    sources: str


INDEXES = (
    Index("usr/share/glib-2.0/schemas/gschemas.compiled",
          "usr/lib/x86_64-linux-gnu/glib-2.0/glib-compile-schemas",
          ("/usr/share/glib-2.0/schemas",), "usr/share/glib-2.0/schemas/*.gschema.*"),
    Index("usr/share/mime/mime.cache", "usr/bin/update-mime-database", ("/usr/share/mime",),
          "usr/share/mime/packages/*.xml"),
    Index("usr/share/applications/mimeinfo.cache", "usr/bin/update-desktop-database",
          ("-q", "/usr/share/applications"), "usr/share/applications/*.desktop"),
    Index("etc/dconf/db/local", "usr/bin/dconf", ("update",), "etc/dconf/db/local.d/*"),
)  # fmt: skip


def refresh(tree: Path) -> None:
    """Make every index anew whose program and sources the tree has.

    Raises ProofMissingError when an index is not there afterwards, CommandError as `run` does.
    """
    for index in INDEXES:
        if not (tree / index.program).is_file() or not any(tree.glob(index.sources)):
            continue
        run_inside(tree, f"/{index.program}", *index.arguments, timeout_s=REFRESH_S)
        if not (tree / index.made).is_file():
            raise ProofMissingError(f"{Path(index.program).name} made no {index.made}.")
