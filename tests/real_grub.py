"""What GRUB itself would start from a disk: Debian's grub-emu on a file, with its own FAT driver.

It reads and writes the disk as the GRUB of a machine does (menu, environment block, wildcards);
only `linux` and `initrd` are told to say what they were given.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from provisioner.release.grubcfg import TRIAL

PATIENCE_S = 120.0
_WRAPPER = """\
set root={device}
set prefix=({device})/EFI/debian
function linux {{
    set loaded=
    if [ -f "({device})$1" ]; then
        set loaded=1
        echo "[[linux $1 $2 $3 $4 $5 $6 $7 $8 $9]]"
    fi
}}
function initrd {{
    if [ -n "$loaded" -a -f "({device})$1" ]; then echo "[[initrd $1]]"; halt; fi
}}
source ({device})/EFI/debian/grub.cfg
set timeout={timeout}
"""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]")


@dataclass(frozen=True)
class Started:
    """What the kernel would have got; `release` is empty when nothing would have started."""

    release: str
    trial: bool
    kernel: str
    initrd: str
    said: str


def start(disk: Path, folder: Path, device: str = "hd0") -> Started:
    """Let GRUB start `disk`, once; its environment block changes as on a machine. `device` is
    `hd0,gpt2` for a whole disk, `hd0` for its EFI system partition alone."""
    return _understood(_until(_words(disk, folder, device, timeout=0), ("[[initrd", "]]")))


def sit_down(disk: Path, folder: Path, *typed: tuple[str, str], wanted: str) -> str:
    """What GRUB shows to a person before its menu who types, each time after a text appeared
    that she waited for; until it shows `wanted` behind the last one."""
    words = _words(disk, folder, "hd0", timeout=-1)
    return _until(words, (typed[-1][0], wanted), typed)


def _words(disk: Path, folder: Path, device: str, *, timeout: int) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "grub.cfg").write_text(_WRAPPER.format(device=device, timeout=timeout))
    (folder / "device.map").write_text(f"(hd0) {disk}\n")
    return ["grub-emu", "-r", "host", "-d", str(folder), "-m", str(folder / "device.map")]


def _understood(said: str) -> Started:
    flat = " ".join(said.split())
    starts = re.findall(r"\[\[linux (.*?)\]\]", flat)
    initrds = re.findall(r"\[\[initrd (.*?)\]\]", flat)
    if not starts or not initrds:
        return Started("", False, "", "", flat)
    words = starts[-1].split()
    release = next((w.removeprefix("release=") for w in words if w.startswith("release=")), "")
    return Started(release, f"{TRIAL}=1" in words, words[0], initrds[-1].strip(), flat)


def _until(
    words: list[str], signs: tuple[str, str], typed: tuple[tuple[str, str], ...] = ()
) -> str:
    """What the program says on its terminal until the last sign has come; then it is ended."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "dumb"
        os.execvp(words[0], words)
    said, seen, until = "", 0, time.monotonic() + PATIENCE_S
    try:
        while time.monotonic() < until:
            ready, _, _ = select.select([terminal], [], [], 1.0)
            if not ready:
                continue
            try:
                said += os.read(terminal, 65536).decode("ascii", "replace")
            except OSError:
                break
            plain = _ESCAPES.sub("", said)
            if typed and typed[0][0] in plain[seen:]:
                seen = plain.index(typed[0][0], seen) + len(typed[0][0])
                os.write(terminal, typed[0][1].encode())
                typed = typed[1:]
            if typed:
                continue
            if signs[0] in plain and signs[1] in plain.rsplit(signs[0], 1)[1]:
                break
            if "Press any key" in plain or "fatal" in plain:
                break
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)
    return _ESCAPES.sub("", said)
