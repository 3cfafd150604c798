"""The corresponding source of what a release ships, from Debian's source archive.

GPL section 3 and its relatives ask for it. The bill of materials names each package's source and
its version; the archive keeps those of the current point release, so an operator who hands
machines on fetches them on the day of the build and keeps them beside the release.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from provisioner.errors import ConfigError, NotFoundError, StationError, nearest
from provisioner.release.cache import Cache
from provisioner.release.packages import PrivateApt
from provisioner.release.progress import Report, silent
from provisioner.release.sources import station_apt_options, station_mirror


def sources_of(bill: Path, packages: Iterable[str] = ()) -> list[str]:
    """Debian's sources (`name=version`, each once) of the packages in a bill of materials.

    With `packages` just of those. Raises NotFoundError for a name that is not in the bill,
    ConfigError for a file that is none.
    """
    try:
        parts = json.loads(bill.read_text())["components"]
        known = {part["name"]: _source(part) for part in parts}
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError("This is no bill of materials.", file=bill) from error
    wanted = list(packages) or list(known)
    for name in wanted:
        if name not in known:
            raise NotFoundError(f"“{name}” is not in the release.", nearest(name, known))
    return sorted({source for name in wanted if (source := known[name])})


def open_archive(cache: Path, mirror: str, suite: str) -> PrivateApt:
    """The station's archive for a suite, with its sources. `cache` is the cache folder."""
    components = ("main", "non-free-firmware")
    return PrivateApt(Cache(cache / "sources"), station_mirror(mirror), suite, components,
                      station_apt_options(), with_source=True)  # fmt: skip


def fetch_sources(
    apt: PrivateApt, sources: Sequence[str], into: Path, report: Report = silent
) -> list[str]:
    """Download sources with apt, which checks them; returns those that are no longer there.

    Raises StationError when the lists cannot be fetched.
    """
    into.mkdir(parents=True, exist_ok=True)
    apt.update()
    gone = []
    for number, source in enumerate(sources):
        report(f"Fetching {source}", number / len(sources))
        before = {path.name for path in into.iterdir()}
        done = apt.source(source, into)
        arrived = {path.name for path in into.iterdir()} - before
        here = f"{source.partition('=')[0]}_"
        if not done or not any(name.startswith(here) for name in arrived | before):
            gone.append(source)
    if len(gone) == len(sources) > 0:
        raise StationError(
            f"Debian's archive has none of the {len(gone)} sources any more.",
            "They are those of an older point release: take them from the station that built it. "
            "Or this mirror carries no sources: name another with the setting “mirror”.",
        )
    return gone


def _source(part: dict[str, object]) -> str:
    properties = part.get("properties") or ()
    for entry in properties:  # type: ignore[attr-defined]
        if entry["name"] == "debian:source":
            return str(entry["value"]).replace(" ", "=", 1)
    return ""
