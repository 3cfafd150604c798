"""What was built, in one JSON file: for an issue, a web page, or the next build's comparison.

Every number was measured. One that this station could not measure is null, and `not_measured`
says why.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from provisioner.model.release import SYSTEM, Manifest

# Measured where a machine or a session runs; `make image-test` fills them in.
LATER = {
    "idle_memory_mb": "needs a boot: make image-test",
    "editor_memory_mb": "needs the editor open in a session: make image-test",
    "start_s": "needs a boot: make image-test",
}


def summarise(
    manifest: Manifest, build_s: float | None = None, measured: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """The release, its sizes in bytes, its components; `measured` adds what is known besides."""
    known: dict[str, Any] = dict(measured or {})
    sizes = {entry.path: entry.size for entry in manifest.files}
    return {
        "release": manifest.id,
        "kind": manifest.kind.value,
        "suite": manifest.suite,
        "system_bytes": sizes.get(SYSTEM),
        "release_bytes": sum(sizes.values()),
        "installed_bytes": manifest.installed_bytes,
        "build_s": None if build_s is None else round(build_s, 1),
        **{name: known.get(name) for name in LATER},
        "not_measured": {name: why for name, why in LATER.items() if name not in known},
        "components": [
            {"name": part.name, "version": part.version, "licence": part.licence,
             "origin": part.origin}
            for part in manifest.components
        ],
    }  # fmt: skip


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write it as JSON, whole or not at all."""
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(json.dumps(summary, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    aside.replace(path)
