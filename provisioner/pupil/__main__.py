"""`python3 -m provisioner.pupil ROOT [FILE]`: the application, below the folder ROOT."""

from __future__ import annotations

import sys
from pathlib import Path

from provisioner.pupil.launch import main

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[2:], Path(sys.argv[1])))
