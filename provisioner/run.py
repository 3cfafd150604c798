"""The one way to start an external command.

Commands are lists, never shell strings; each has a time-out; output is text in the C locale;
a failure shows the command as it can be pasted into a terminal, its exit code and the end of
what it wrote to standard error. That a command exited 0 proves nothing: callers look at what
it left behind.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import CommandError

STDERR_TAIL_LINES = 12


@dataclass(frozen=True)
class Finished:
    """A command that ended: its exit code and what it wrote."""

    args: tuple[str, ...]
    code: int
    stdout: str
    stderr: str


def run(
    args: Sequence[str | Path],
    *,
    timeout_s: float,
    check: bool = True,
    stdin: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Finished:
    """Run a command to its end.

    `env` is added to the caller's environment. Raises CommandError when the program is
    missing, exceeds `timeout_s`, or exits other than 0 while `check` is true.
    """
    words = tuple(str(word) for word in args)
    try:
        done = subprocess.run(
            words,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            cwd=cwd,
            env=_environment(env),
            check=False,
        )
    except FileNotFoundError as error:
        raise _missing(words, error) from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(
            f"“{shlex.join(words)}” did not end within {timeout_s:g} s.",
            "The device or the network may hang; look at the log and try again.",
        ) from error
    finished = Finished(words, done.returncode, done.stdout, done.stderr)
    if check and finished.code != 0:
        raise CommandError(describe_failure(finished), "The log of this run has the whole output.")
    return finished


def start(
    args: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a long-running child that dies with us; its output goes to the file `log`.

    `setpriv --pdeathsig` makes the kernel end the child when the station is killed outright,
    so that no DHCP server outlives the program that answers for it. It also gets a process
    group of its own: Ctrl-C reaches the parent, who ends its children in order.
    """
    words = ("setpriv", "--pdeathsig", "KILL", "--", *(str(word) for word in args))
    with log.open("ab") as out:
        try:
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=_environment(env),
                pass_fds=tuple(pass_fds),
                process_group=0,
            )
        except FileNotFoundError as error:
            raise _missing(words, error) from error


def describe_failure(finished: Finished) -> str:
    """One paragraph: the command, its exit code and the end of its standard error."""
    tail = "\n".join((finished.stderr or finished.stdout).splitlines()[-STDERR_TAIL_LINES:])
    return f"“{shlex.join(finished.args)}” exited with {finished.code}.\n{tail}".strip()


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8", **(extra or {})}


def _missing(words: tuple[str, ...], error: FileNotFoundError) -> CommandError:
    if error.filename not in (None, words[0]):
        return CommandError(f"“{shlex.join(words)}”: {error.filename} does not exist.")
    return CommandError(
        f"The program “{words[0]}” is not installed.",
        "Run “provisioner doctor” to see which package it comes in.",
    )
