"""A station for the swarm's tests: the real door for machines, the real seeds, one release.

`python -m tests.integration.swarm_station STATE ADDRESS/PREFIX PORT CONTENT [SEEDS]`: signs the
files in the folder CONTENT as release lab@YEAR.1, serves it, and prints its id and key. With
SEEDS 0 it gives by HTTP only.
"""

from __future__ import annotations

import datetime
import shutil
import sys
from pathlib import Path

from provisioner.model.release import Manifest, Minimum, ReleaseKind
from provisioner.release.build import list_carried
from provisioner.release.catalog import Catalog
from provisioner.release.manifest import write_manifest
from provisioner.workshop.station import Station
from tests.integration.side_station import serving


def publish(station: Station, content: Path) -> Manifest:
    """Sign the files in `content` as a new release."""
    catalog: Catalog = station.catalog
    version, number = catalog.next_version("lab", datetime.datetime.now(datetime.UTC).date())
    with catalog.building() as folder:
        shutil.copytree(content, folder, dirs_exist_ok=True)
        manifest = Manifest(
            name="lab", version=version, number=number, kind=ReleaseKind.SYSTEM, suite="trixie",
            architecture="amd64", source_date_epoch=0, recipe_sha256="0" * 64,
            minimum=Minimum(memory_mib=1, disk_mb=2000), installed_bytes=1,
            files=list_carried(folder, f"lab@{version}", ReleaseKind.SYSTEM), components=(),
        )  # fmt: skip
        write_manifest(folder, manifest, station.key)
        catalog.publish(folder, manifest)
    return manifest


def main(state: str, address: str, port: str, content: str, seeds: str = "1") -> None:
    with serving(state, address, port, seeds) as (station, stop):
        manifest = publish(station, Path(content))  # it appears while the station runs
        print(manifest.id, station.key.public, flush=True)
        stop.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
