"""What goes with a machine from one release to the next: its names, its keys, its pupils' files.

The new release gets an overlay of its own with the machine's identity in it and nothing else:
the rest of what the old system changed is the old system's. Configuration is applied anew, and
`home/` is outside of both.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from provisioner.agent.personalise import FOLDERS, upper_folder
from provisioner.errors import ProofMissingError

# Beside agent.json, whose `release` nobody reads: what runs stands on the kernel's command line.
IDENTITY = (
    "etc/machine-id", "etc/hostname", "etc/hosts", "etc/ssh/ssh_host_ed25519_key",
    "etc/ssh/ssh_host_ed25519_key.pub", "etc/classroom/agent.json", "root/.ssh/authorized_keys",
)  # fmt: skip
NEEDED = "etc/classroom/agent.json"


def carry_over(state: Path, old: str, new: str) -> None:
    """Give `new` an overlay with this machine's identity, flushed to the disk.

    What an earlier attempt left there is removed first. Raises ProofMissingError when the old
    overlay lacks what the new system could not do without.
    """
    before, upper = state / upper_folder(old), state / upper_folder(new)
    if not (before / NEEDED).is_file():
        raise ProofMissingError(
            f"{old} has no {NEEDED} in its overlay.", "Image this machine again."
        )
    shutil.rmtree(upper.parent, ignore_errors=True)
    for folder in (upper, upper.with_name("work")):
        folder.mkdir(parents=True)
        folder.chmod(0o755)
    for name, mode in FOLDERS.items():
        (upper / name).mkdir()
        (upper / name).chmod(mode)
    for name in IDENTITY:
        if (before / name).is_file():
            _copy(before / name, upper / name)
    os.sync()


def erase_homes(state: Path) -> int:
    """Empty every home; returns how many files were removed. The homes themselves stay, with
    their owners: logging in fills them again from the system's own pattern."""
    count = 0
    for home in (state / "home").iterdir():
        if home.is_symlink() or not home.is_dir():
            continue
        for path in list(home.iterdir()):
            count += _files(path)
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    os.sync()
    return count


def _files(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return 1
    return sum(len(names) for _, _, names in os.walk(path))


def _copy(source: Path, target: Path) -> None:
    shutil.copy2(source, target)
    status = source.stat()
    os.chown(target, status.st_uid, status.st_gid)
