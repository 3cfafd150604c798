"""The short form of the benchmark of updates: every system ends, and ours keeps its promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import pairs

pytestmark = [pytest.mark.integration, pytest.mark.long]
ROOT = Path(__file__).parents[2]


def test_one_package_costs_no_more_than_itself(tmp_path: Path) -> None:
    """The goal is 1.2 times the package plus a hundredth of the image."""
    if not pairs.available(pairs.ONE_PACKAGE):
        pytest.skip("the archive has only one version of these packages today")
    results = tmp_path / "bench.json"
    words = [sys.executable, "-m", "tests.bench.delta", "--small", "--results", str(results)]
    done = subprocess.run(
        [*words, "--work", str(tmp_path / "work")], cwd=ROOT, capture_output=True, text=True,
        timeout=1200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    rows = {row["system"]: row for row in json.loads(results.read_text())["delta"]}
    assert set(rows) == {"copy", "pieces", "patch", "zsync", "casync", "rsync -z"}
    debs = list((tmp_path / "work/packages").glob(f"{pairs.available(pairs.ONE_PACKAGE)[0]}_*"))
    package = max(deb.stat().st_size for deb in debs)
    assert rows["patch"]["bytes"] <= 1.2 * package + 0.01 * rows["patch"]["image_bytes"]
    assert rows["patch"]["bytes"] < min(
        rows[other]["bytes"] for other in ("pieces", "zsync", "casync", "rsync -z")
    )
    assert rows["pieces"]["bytes"] < 2 * package
