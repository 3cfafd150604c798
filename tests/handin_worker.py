"""`python -m tests.handin_worker ROOT PAGE_PORT ROOM_PORT`: the hand-in service of one machine,
with the files below ROOT, in a process that a test can kill."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from provisioner.handin import courier
from provisioner.handin.__main__ import Service


def main() -> None:
    courier.WAITS_S = (0.5, 1.0)  # type: ignore[assignment]  # weeks are tested elsewhere
    root = Path(sys.argv[1])
    service = Service(root, root, page_port=int(sys.argv[2]), room_port=int(sys.argv[3]))
    service.start()
    print("ready", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
