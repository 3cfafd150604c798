"""The short form of `make bench`: every system ends, every file is right, the file has its form.

What came out is compared by sha256sum inside the benchmarks, with the mounted disks and the
clients' files; a wrong byte anywhere makes the run fail. Nothing here depends on speed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench import pairs
from tests.bench.goals import SECTIONS, goals

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        os.geteuid() != 0 or not Path("/dev/fuse").exists(),
        reason="needs root for namespaces and mounts, and FUSE for the slow disk",
    ),
]
ROOT = Path(__file__).parents[2]
LONG_S = 2400
Results = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    path = folder / "bench.json"
    words = ["--short", "--results", str(path), "--work", str(folder / "work")]
    done = _bench(*words)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "goal" in done.stdout
    found: Results = json.loads(path.read_text())
    return found


def _bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench", *words]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=LONG_S, check=False
    )


def test_the_file_has_every_section(results: Results) -> None:
    assert set(SECTIONS) | {"about"} == set(results)
    assert all(results[name] for name in SECTIONS)
    assert {goal.section for goal in goals(results)} == set(SECTIONS)
    for row in results["fan_out"]:
        assert {"system", "clients", "seconds", "egress_bytes", "ideal_seconds"} <= set(row)


def test_fan_out_is_plausible(results: Results) -> None:
    rows = results["fan_out"]
    assert {row["system"] for row in rows} == {"ours", "udpcast", "aria2", "http"}
    for row in rows:
        least = row["clients"] if row["system"] == "http" else 1
        assert row["egress_bytes"] >= least * row["image_bytes"]
        assert row["seconds"] >= row["ideal_seconds"]


def test_trouble_does_not_stop_late_machines(results: Results) -> None:
    rows = {row["system"]: row for row in results["trouble"]}
    assert set(rows) == {"ours", "udpcast"}
    own = rows["ours"]
    assert (own["late_finished"], own["healthy_finished"]) == (own["late"], own["healthy"])
    assert rows["udpcast"]["late_finished"] == 0  # nobody sends to them any more


def test_every_system_wrote_the_disk(results: Results) -> None:
    alone, *rows = results["disk"]
    # a short stretch profits from what the disk may be behind (slow_disk.BEHIND_S)
    assert alone["random_64k_rate"] < alone["sequential_rate"] <= alone["rate"] * 1.4
    written = {(row["layout"], row["system"]): row["bytes_written"] for row in rows}
    assert len(written) == 9
    for row in rows:
        assert row["bytes_written"] >= row["image_bytes"]
        assert row["busy_seconds"] >= row["bytes_written"] / row["rate"]
        assert row["seconds"] >= row["bytes_written"] / row["rate"] * 0.9
    least = min(size for (layout, _), size in written.items() if layout == "classical")
    assert written["ours", "ours"] < least


def test_updates_fetch_less_than_the_image(results: Results) -> None:
    rows = {row["system"]: row for row in results["delta"]}
    assert {"copy", "pieces", "patch", "zsync", "casync", "rsync -z"} < set(rows)
    for name, row in rows.items():
        assert 0 <= row["bytes"] < row["image_bytes"], name
    assert rows["patch"]["machine_seconds"] > 0
    if pairs.available(pairs.ONE_PACKAGE):  # else the archive has one version of it today
        patch = rows["patch"]
        assert patch["bytes"] <= 1.2 * patch["package_bytes"] + 0.01 * patch["image_bytes"]
        assert patch["bytes"] < rows["rsync -z"]["bytes"]


def test_the_tables_are_made_from_the_file(results: Results, folder: Path) -> None:
    page = folder / "page.md"
    page.write_text((ROOT / "docs/benchmarks.md").read_text())
    done = _bench("--table", str(folder / "bench.json"), "--into", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    for goal in goals(results):
        assert f"| {goal.text} |" in text.replace("\\|", "|")
        assert goal.verdict in text
