"""A machine that fetches one release with the help of an older one; ended from outside.

Arguments: the station's URL, the releases' folder, the new release's name, the station's key,
and seconds to rest after each report. Prints how many bytes are right, line by line.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from provisioner.model.release import SYSTEM, Manifest
from provisioner.model.signed import open_envelope
from provisioner.release.chunks import CHUNKS
from provisioner.swarm.delta import DeltaCarrier
from provisioner.swarm.fetch import HttpCarrier, Wanted
from provisioner.swarm.offers import Offer, find_offer
from provisioner.swarm.prefill import old_releases


def main(url: str, releases: str, name: str, key: str, rest_s: str) -> None:
    http = HttpCarrier(f"{url}/releases/{name}", lambda _error, _pause: time.sleep(0.05))
    patches = HttpCarrier(f"{url}/patches/{name}", lambda _error, _pause: time.sleep(0.05))
    manifest, _ = open_envelope(http.read("manifest.dsse.json", 1 << 20), Manifest, trusted=key)
    olds = old_releases(Path(releases), but=name)

    def wanted(path: str) -> Wanted:
        entry = manifest.file(path)
        return Wanted(entry.path, entry.size, entry.sha256)

    def report(have: int) -> None:
        print(have, flush=True)
        time.sleep(float(rest_s))

    def offer(image: Wanted) -> Offer | None:
        return find_offer(patches, olds, image, key)

    carrier = DeltaCarrier(http, wanted(CHUNKS), olds, find_offer=offer)
    into = Path(releases) / name / SYSTEM
    into.parent.mkdir(exist_ok=True)
    carrier.fetch(wanted(SYSTEM), into, report)
    print("done", carrier.savings.fetched, carrier.savings.patch_bytes, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
