"""The installed disk's /EFI/debian/grub.cfg: a pure function of what is on the disk.

One file serves the BIOS (core.img's prefix is `(,gpt2)/EFI/debian`), Debian's signed GRUB with
Secure Boot and the 32-bit GRUB. Kernels stand on the same partition, so nothing is searched for
and no other disk can be mistaken for this one.
"""

from __future__ import annotations

import re

from provisioner.errors import ConfigError
from provisioner.model.release import INITRD, KERNEL

GRUB_CFG = "/EFI/debian/grub.cfg"
# What GRUB's shell and the kernel take as a plain word
_ARGUMENTS = re.compile(r"^[A-Za-z0-9_.,:=/@%+ -]*$")


def kernel_folder(release: str) -> str:
    """Where a release's kernel and initramfs stand on the EFI system partition."""
    return f"/releases/{release}"


def installed_grub_cfg(
    release: str, *, system_uuid: str, state_uuid: str, kernel_arguments: str = ""
) -> str:
    """The start menu of a disk with one release.

    `kernel_arguments` are appended as they are. Raises ConfigError when they hold anything
    that GRUB's shell would interpret.
    """
    if not _ARGUMENTS.match(kernel_arguments):
        raise ConfigError(
            f"The kernel arguments {kernel_arguments!r} hold signs with a meaning of their own.",
            "Use letters, digits and . , : = / @ % + - _ only.",
            field="kernel_arguments",
        )
    words = " ".join(
        [
            "boot=classroom",
            f"release={release}",
            f"system=UUID={system_uuid}",
            f"state=UUID={state_uuid}",
            *kernel_arguments.split(),
        ]
    )
    folder = kernel_folder(release)
    return (
        "# Written while this machine was imaged.\n"
        "set timeout=1\n"
        "set default=0\n"
        f'menuentry "{release}" --id {release} {{\n'
        f"    linux {folder}/{KERNEL} {words}\n"
        f"    initrd {folder}/{INITRD}\n"
        "}\n"
    )
