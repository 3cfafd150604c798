"""Commands that mount or leave children behind run in a box: namespaces that end with them.

Whatever happens (Ctrl-C, a time-out, SIGKILL), the kernel takes the box's processes and mounts
away, so that nothing of a half-built tree, least of all a bound /dev, is left to clean up. A box
ends with the thread that asked for it, even when that is killed and can end nothing itself.
It is a clean room as well: of the caller's environment nothing comes along, since maintainers'
scripts and initramfs hooks may write into a tree what they find there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from provisioner.run import Finished, run

# What a tree of Debian's is searched for, whatever the caller's own search path is
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_UNSHARE = ("setpriv", "--pdeathsig", "KILL", "--",
            "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")  # fmt: skip


def boxed(*command: str | Path, env: Mapping[str, str] | None = None) -> list[str | Path]:
    """The command with mounts and processes of its own, and no variables but `env`."""
    return [*_clean(env or {}), *_UNSHARE, *command]


def run_inside(
    root: Path, *command: str, timeout_s: float, env: Mapping[str, str] | None = None
) -> Finished:
    """Run a command of the tree `root`, which sees its own /proc and nothing outside.

    Raises CommandError as `run` does.
    """
    box = [*_clean(env or {}), *_UNSHARE, f"--root={root}", "--wd=/"]
    return run([*box, *command], timeout_s=timeout_s)


def _clean(env: Mapping[str, str]) -> list[str]:
    known = {"PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", "TZ": "UTC", **env}
    return ["env", "--ignore-environment", *(f"{name}={value}" for name, value in known.items())]
