"""What all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

# No test reads or writes the station of the computer that it runs on.
os.environ["PROVISIONER_SETTINGS"] = "/nonexistent/settings.yaml"

# Hypothesis gives each example 200 ms, which a busy computer exceeds; what is tested is not speed.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
