"""A drive erases itself: sanitize, security erase, format with a secure erase setting.

*Not yet seen on real hardware.* A command that returns proves nothing: sanitize has ended when the
drive itself says so, and security erase and format are believed by what is read afterwards only
(`wipe` looks for its marks and overwrites everything as well).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from provisioner.agent.direct import Report
from provisioner.agent.drive import (
    SanitizeState,
    controller_of,
    parse_nvme_log,
    parse_sanitize_status,
    parse_security,
)
from provisioner.agent.text import clean
from provisioner.errors import CommandError, DiskFaultError
from provisioner.model.erasure import WipeMethod as M
from provisioner.run import run

# SECURITY ERASE UNIT needs a password to be set first. It is the same everywhere and no secret:
# a disk that lost its power in between stays locked, and whoever finds it so can open it.
KNOWN_PASSWORD = "classroom"  # noqa: S105
POLL_S = 2.0
START_S, HOURS_S = 120.0, 24 * 3600.0
_SURE = ("hdparm", "--yes-i-know-what-i-am-doing")
_SANITIZE = {
    M.ATA_SANITIZE_BLOCK: ("--sanitize-block-erase",),
    M.ATA_SANITIZE_CRYPTO: ("--sanitize-crypto-scramble",),
    M.ATA_SANITIZE_OVERWRITE: ("--sanitize-overwrite-passes", "1", "--sanitize-overwrite",
                               "hex:00000000"),
}  # fmt: skip
# NVM Express: the sanitize action of the command, and the secure erase setting of Format NVM
_SANACT = {M.NVME_SANITIZE_BLOCK: 2, M.NVME_SANITIZE_OVERWRITE: 3, M.NVME_SANITIZE_CRYPTO: 4}
_SES = {M.NVME_FORMAT_USER_DATA: 1, M.NVME_FORMAT_CRYPTO: 2}


@dataclass(frozen=True)
class Erased:
    """What was done, and whether the drive itself confirms it."""

    method: M
    command: str
    tool: str
    confirmed: bool


def plan_commands(device: Path, method: M) -> list[list[str]]:
    """The commands, in order. A format always carries a secure erase setting other than 0."""
    path, controller = str(device), str(device.with_name(controller_of(device.name)))
    if method in _SANITIZE:
        return [[*_SURE, *_SANITIZE[method], path]]
    if method in _SANACT:
        return [["nvme", "sanitize", controller, f"--sanact={_SANACT[method]}"]]
    if method in _SES:
        return [["nvme", "format", path, f"--ses={_SES[method]}", "--force"]]
    erase = "--security-erase-enhanced" if "enhanced" in method else "--security-erase"
    return [
        ["hdparm", "--user-master", "u", "--security-set-pass", KNOWN_PASSWORD, path],
        ["hdparm", "--user-master", "u", erase, KNOWN_PASSWORD, path],
    ]


def erase_by_drive(device: Path, method: M, report: Report) -> Erased:
    """Run the method to its end. Raises DiskFaultError or CommandError when it fails."""
    commands = plan_commands(device, method)
    for command in commands:
        run(command, timeout_s=START_S if method.startswith(("ata-san", "nvme-san")) else HOURS_S)
    confirmed = False
    if method in _SANITIZE:
        confirmed = _wait(lambda: _ata_state(device), report)
    elif method in _SANACT:
        confirmed = _wait(lambda: _nvme_state(device), report)
    elif method not in _SES:
        _must_be_open(device)
    words = " ".join(commands[-1]).replace(KNOWN_PASSWORD, "…")
    return Erased(method, clean(words), _tool(commands[-1][0]), confirmed)


def _wait(ask: Callable[[], SanitizeState], report: Report) -> bool:
    """Until the drive says that it is done. It goes on by itself even after a power cut."""
    began = time.monotonic()
    while time.monotonic() - began < HOURS_S:
        state = ask()
        if state.failed:
            raise DiskFaultError(
                "The disk says that its sanitize operation failed.",
                "Take the disk out to be destroyed; it holds what it held.",
            )
        if not state.running:
            return state.done
        report(round(state.fraction * 65536), 65536)
        time.sleep(POLL_S)
    raise DiskFaultError("The disk's sanitize operation does not end.", "Replace the disk.")


def _ata_state(device: Path) -> SanitizeState:
    done = run(["hdparm", "--sanitize-status", device], timeout_s=START_S, check=False)
    return parse_sanitize_status(done.stdout + done.stderr)


def _nvme_state(device: Path) -> SanitizeState:
    controller = device.with_name(controller_of(device.name))
    done = run(["nvme", "sanitize-log", controller, "-o", "json"], timeout_s=START_S, check=False)
    return parse_nvme_log(done.stdout)


def _must_be_open(device: Path) -> None:
    """After a security erase no password may be left: the drive takes it off when it has ended."""
    security = parse_security(run(["hdparm", "-I", device], timeout_s=START_S).stdout)
    if security.enabled or security.locked:
        raise DiskFaultError(
            f"The disk kept the password “{KNOWN_PASSWORD}”: its erasure did not end.",
            "Switch it off and on and try again; if it happens twice, replace the disk.",
        )


def _tool(name: str) -> str:
    """Program and version, in one line."""
    try:
        done = run([name, "-V" if name == "hdparm" else "version"], timeout_s=30, check=False)
    except CommandError:
        return name
    return clean(done.stdout.splitlines()[0] if done.stdout else name)
