"""What all tests share."""

from __future__ import annotations

import os

# No test reads or writes the station of the computer that it runs on.
os.environ["PROVISIONER_SETTINGS"] = "/nonexistent/settings.yaml"
