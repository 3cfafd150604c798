"""The one way to start commands: what it does with those that misbehave."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from provisioner import run as module
from provisioner.errors import CommandError
from provisioner.run import run


def test_what_a_command_wrote_and_how_it_ended() -> None:
    done = run(["sh", "-c", "cat; echo no >&2; exit 3"], timeout_s=20, check=False, stdin="a\r\nb")
    assert (done.code, done.stdout, done.stderr) == (3, "a\nb", "no\n")
    with pytest.raises(CommandError, match=r"exited with 3.\nno"):
        run(["sh", "-c", "echo no >&2; exit 3"], timeout_s=20)


def test_what_is_no_text_is_marked() -> None:
    assert run(["printf", r"a\377b"], timeout_s=20).stdout == "a\ufffdb"


def test_input_that_is_not_wanted_is_no_error() -> None:
    assert run(["true"], timeout_s=20, stdin="x" * 1_000_000).code == 0


def test_input_and_output_larger_than_any_pipe() -> None:
    text = "0123456789" * 100_000
    assert run(["cat"], timeout_s=20, stdin=text).stdout == text


def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    began = time.monotonic()
    script = f"sleep 300 & echo $! > {tmp_path}/child; wait"
    with pytest.raises(CommandError, match=r"did not end within 0.5 s"):
        run(["sh", "-c", script], timeout_s=0.5)
    assert time.monotonic() - began < 10
    child = int((tmp_path / "child").read_text())
    assert not _lives(child), "its child would go on working on the disk"


def test_a_command_whose_child_holds_the_output_open_is_not_waited_for() -> None:
    began = time.monotonic()
    with pytest.raises(CommandError, match="did not end"):
        run(["sh", "-c", "sleep 300 &"], timeout_s=0.5)
    assert time.monotonic() - began < 10


def test_a_command_that_takes_no_signal_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_S", 0.2)
    with pytest.raises(CommandError, match="did not end"):
        run(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], timeout_s=0.3)


def test_a_command_that_pours_out_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OUTPUT_BYTES", 1 << 20)
    with pytest.raises(CommandError, match="more than 1 MiB"):
        run(["yes"], timeout_s=60)


def test_what_cannot_be_started_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "tool"
    broken.write_bytes(b"\x7fELF nonsense")
    broken.chmod(0o755)
    for path in (broken, tmp_path / "none"):
        with pytest.raises(CommandError, match=path.name):
            run([path], timeout_s=20)


def _lives(process: int) -> bool:
    """Dead ones may stay in the table for a moment, until somebody asks for their end."""
    time.sleep(0.2)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:1]
