"""`python3 -m provisioner.agent`: started by the unit classroom-agent.service."""

from __future__ import annotations

import sys

from provisioner.agent.main import main

if __name__ == "__main__":
    sys.exit(main())
