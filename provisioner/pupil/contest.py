"""What the editor shows while a contest is on: how long it goes on, and how often it saves.

The contest's layer is merged then and brings its card; at all other times there is none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CARD = Path("/usr/share/classroom/contest/contest.json")
LEAST_S, MOST_S = 5, 600


def contest_now(card: Path = CARD) -> dict[str, Any] | None:
    """Title, end, and the longest time in seconds between two savings; None without a contest."""
    try:
        said = json.loads(card.read_bytes())
        title, autosave = said["title"], int(said["autosave_s"])
        return {"title": {"en": str(title["en"]), "zh-cn": str(title["zh"])},
                "closes": str(said["closes"]),
                "autosave_s": min(max(autosave, LEAST_S), MOST_S)}  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None
