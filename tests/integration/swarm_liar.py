"""A neighbour that gives wrong bytes: `python -m tests.integration.swarm_liar TORRENT FILE WIRE
TRACKER` says that it has all of FILE, which is not what TORRENT promises."""

from __future__ import annotations

import sys
import time
from ipaddress import IPv4Interface
from pathlib import Path

from provisioner.swarm.session import Place, Session
from provisioner.swarm.torrent import read_torrent


def main(torrent: str, file: str, wire: str, tracker: str) -> None:
    path = Path(file)
    alone = read_torrent(Path(torrent).read_bytes()).alone(path.name)
    with Session(IPv4Interface(wire), changes={"disable_hash_checks": True}) as session:
        share = session.share(alone, Place(path.parent, path.name), tracker=tracker, whole=True)
        print("lying", flush=True)
        while True:
            share.standing()
            time.sleep(0.2)


if __name__ == "__main__":
    main(*sys.argv[1:])
