"""Commands that mount or leave children behind run in a box: namespaces that end with them.

Whatever happens (Ctrl-C, a time-out, SIGKILL), the kernel takes the box's processes and mounts
away, so that nothing of a half-built tree, least of all a bound /dev, is left to clean up.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from provisioner.run import Finished, run

# What a tree of Debian's is searched for, whatever the caller's own search path is
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


def boxed(*command: str | Path) -> list[str | Path]:
    """The command with mounts and processes of its own."""
    return [*_UNSHARE, *command]


def run_inside(
    root: Path, *command: str, timeout_s: float, env: Mapping[str, str] | None = None
) -> Finished:
    """Run a command of the tree `root`, which sees its own /proc and nothing outside.

    Raises CommandError as `run` does.
    """
    box = [*_UNSHARE, f"--root={root}", "--wd=/"]
    return run([*box, *command], timeout_s=timeout_s, env={"PATH": PATH, **(env or {})})
