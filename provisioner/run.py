"""The one way to start an external command.

Commands are lists, never shell strings; each has a time-out; output is text in the C locale;
a failure shows the command as it can be pasted into a terminal, its exit code and the end of
what it wrote to standard error. That a command exited 0 proves nothing: callers look at what
it left behind. A command that hangs is ended with all that it started, and one that pours out
more than MAX_OUTPUT_BYTES is, too: an old PC has not the memory to hear it out.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import CommandError, TooSlowError

STDERR_TAIL_LINES = 12
MAX_OUTPUT_BYTES = 64 * 1024 * 1024  # of standard output, and of standard error
GRACE_S = 2.0  # from the polite signal to the one that cannot be refused


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
    missing, exceeds `timeout_s`, writes more than MAX_OUTPUT_BYTES, or exits other than 0 while
    `check` is true.
    """
    words = tuple(str(word) for word in args)
    try:
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=_environment(env),
            process_group=0,
        )
    except FileNotFoundError as error:
        raise _missing(words, error) from error
    except OSError as error:
        raise CommandError(f"“{shlex.join(words)}” cannot be started: {error.strerror}.") from error
    try:
        out, err = _converse(child, words, (stdin or "").encode(), timeout_s)
    finally:
        _end(child)
    finished = Finished(words, child.returncode, _text(out), _text(err))
    if check and finished.code != 0:
        raise CommandError(describe_failure(finished), "The log of this run has the whole output.")
    return finished


def _converse(
    child: subprocess.Popen[bytes], words: Sequence[str], stdin: bytes, timeout_s: float
) -> tuple[bytes, bytes]:
    """Give the child its input and hear it out; returns what it wrote once it has ended."""
    until = time.monotonic() + timeout_s
    assert child.stdout and child.stderr
    said = {child.stdout.fileno(): bytearray(), child.stderr.fileno(): bytearray()}
    with selectors.DefaultSelector() as selector:
        for pipe in said:
            selector.register(pipe, selectors.EVENT_READ)
        if child.stdin:
            os.set_blocking(child.stdin.fileno(), False)
            selector.register(child.stdin.fileno(), selectors.EVENT_WRITE)
        while selector.get_map():
            ready = selector.select(max(until - time.monotonic(), 0))
            if not ready or time.monotonic() > until:
                raise _too_long(words, timeout_s)
            for key, _ in ready:
                if key.fd in said:
                    _hear(selector, key.fd, said[key.fd], words)
                else:
                    stdin = _tell(selector, child, stdin)
    try:
        child.wait(max(until - time.monotonic(), 0.01))
    except subprocess.TimeoutExpired as error:
        raise _too_long(words, timeout_s) from error
    out, err = said.values()
    return bytes(out), bytes(err)


def _hear(
    selector: selectors.BaseSelector, pipe: int, so_far: bytearray, words: Sequence[str]
) -> None:
    data = os.read(pipe, 1 << 16)
    so_far += data
    if not data:
        selector.unregister(pipe)
    if len(so_far) > MAX_OUTPUT_BYTES:
        raise CommandError(
            f"“{shlex.join(words)}” wrote more than {MAX_OUTPUT_BYTES >> 20} MiB and was ended.",
            "It is not the program that it should be, or its device talks nonsense.",
        )


def _tell(selector: selectors.BaseSelector, child: subprocess.Popen[bytes], rest: bytes) -> bytes:
    """Some of the input; one that is not wanted is no error, what the command did is judged."""
    assert child.stdin
    with contextlib.suppress(BrokenPipeError):
        rest = rest[os.write(child.stdin.fileno(), rest[: 1 << 16]) :] if rest else b""
        if rest:
            return rest
    selector.unregister(child.stdin.fileno())
    child.stdin.close()
    return b""


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and all that it started, if it has not ended; never waits for long.

    A process that hangs in the kernel, on a dead disk, takes no signal: it is left behind.
    """
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)


def _too_long(words: Sequence[str], timeout_s: float) -> TooSlowError:
    return TooSlowError(
        f"“{shlex.join(words)}” did not end within {timeout_s:g} s.",
        "The device or the network may hang; look at the log and try again.",
    )


def _text(data: bytes) -> str:
    """UTF-8 with marks for what is none, and \\n for every end of a line."""
    return data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")


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
