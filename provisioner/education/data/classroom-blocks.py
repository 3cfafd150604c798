#!/usr/bin/python3 -I
"""Block programming; see /usr/lib/classroom-blocks."""

import sys
from pathlib import Path

ROOT = Path("/usr/lib/classroom-blocks")
sys.path.insert(0, str(ROOT))

from provisioner.pupil.launch import main

raise SystemExit(main(sys.argv[1:], ROOT))
