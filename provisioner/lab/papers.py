"""The papers of a run of the lab: passports, certificates of erasure, the donor's certificate.

They are asked for at the operator's door, as anybody would; each certificate is the signed file
and its PDF. Only what was proved gets one, so a machine that needs a hand has none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

DONOR = "The virtual classroom (make lab)"


class Door(Protocol):
    """What is needed of the lab's station."""

    def get(self, path: str, **query: str) -> Any: ...
    def get_text(self, path: str) -> str: ...
    def get_bytes(self, path: str) -> bytes: ...
    def post(self, path: str, body: Any = None) -> Any: ...


def write_passports(station: Door, tags: list[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for tag in tags:
        sealed = station.get(f"machines/{tag}/passport")
        (folder / f"{tag}.json").write_text(json.dumps(sealed, indent=2) + "\n")


def write_certificates(
    station: Door, tags: list[str], batch: str, folder: Path
) -> list[dict[str, str]]:
    """Issue and fetch them; what each is about, its number, the file, and its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = [(tag, f"machines/{tag}/certificate") for tag in tags]
    asked.append((batch, f"batches/{batch}/certificate"))
    found = []
    for about, path in asked:
        issued = station.post(path, {"donor": DONOR})
        number = str(issued["number"])
        file = folder / f"{number}.json"
        file.write_text(station.get_text(f"certificates/{number}"))
        file.with_suffix(".pdf").write_bytes(station.get_bytes(f"certificates/{number}/pdf"))
        found.append(
            {"about": about, "number": number, "file": str(file), "sha256": str(issued["sha256"])}
        )
    return found
