"""How an installed disk starts: its menu, its entries and what it remembers; pure functions.

One menu serves the BIOS (core.img's prefix is `(,gpt2)/EFI/debian`), Debian's signed GRUB with
Secure Boot and the 32-bit GRUB. Kernels stand on the same partition, so nothing is searched for
and no other disk can be mistaken for this one.

The menu never changes while a machine is renewed. Which release starts stands in `grubenv`:

* `good`, the release that was proved here last;
* `try`, one that is to be tried, and `left`, how often it may still be started. GRUB lowers that
  number and reads it back *before* it starts the release, so one that hangs, panics or loses its
  power is given up by itself. A machine without a `try` counts nothing: however often it is
  switched off and on, it stays where it is.

A release can be started when its `entry.cfg` is there, and that is written last. Should the disk
lose `grubenv`, the second copy counts, and without either the releases that can be started.

Whoever sits there may start what the menu shows and nothing else: to edit a start line, or for
GRUB's own prompt, the password of this one machine is asked for (`loader_password`), which the
station keeps. A disk that has lost it asks all the same, and takes none.
"""

from __future__ import annotations

import re

from provisioner.errors import ConfigError
from provisioner.model.order import LOADER_HASH
from provisioner.model.release import INITRD, KERNEL
from provisioner.release.bootenv import pack_env

GRUB_CFG = "/EFI/debian/grub.cfg"
GRUB_ENV = "/EFI/debian/grubenv"
SECOND_ENV = "/EFI/debian/grubenv2"
WORKSHOP_CFG = "/EFI/debian/workshop.cfg"  # who may change what is started, and how she proves it
SUPERUSER = "workshop"
ENTRY = "entry.cfg"
GOOD, TRY, LEFT = "good", "try", "left"
# With one start the first flicker of the line would end a renewal; with two, the third start is
# the old system's whatever happens.
TRIAL_STARTS = 2
PANIC_S = 20  # a kernel that has panicked starts the machine again
TRIAL = "classroom.trial"
# What GRUB's shell and the kernel take as a plain word
_ARGUMENTS = re.compile(r"^[A-Za-z0-9_.,:=/@%+ -]*$")
_PASSWORD = re.compile(LOADER_HASH)

_MENU = f"""\
# Written while this machine was imaged. Which release starts stands in grubenv.
set superusers={SUPERUSER}
export superusers
if [ -f $prefix/workshop.cfg ]; then
    source $prefix/workshop.cfg
fi
set timeout=1
set default=0
set good=
set try=
set left=
load_env --file $prefix/grubenv {GOOD} {TRY} {LEFT}
if [ ! -f "/releases/$good/{ENTRY}" ]; then
    set good=
    load_env --file $prefix/grubenv2 {GOOD}
fi
if [ ! -f "/releases/$good/{ENTRY}" ]; then
    for found in /releases/*/{ENTRY}; do
        regexp --set=1:good '/releases/([^/]*)/{ENTRY}' "$found"
    done
fi
set pick=
set next=
if [ "$left" = 2 ]; then
    set next=1
elif [ "$left" = 1 ]; then
    set next=0
fi
if [ -n "$try" -a -n "$next" -a -f "/releases/$try/{ENTRY}" ]; then
    set left=$next
    save_env --file $prefix/grubenv {LEFT}
    set left=
    load_env --file $prefix/grubenv {LEFT}
    if [ "$left" = "$next" ]; then
        set pick=$try
    fi
fi
set fallback=
if [ -n "$pick" ]; then
    set fallback=1
    menuentry "$pick (new)" --id new --unrestricted "$pick" {{
        set classroom_trial={TRIAL}=1
        source "/releases/$2/{ENTRY}"
    }}
fi
menuentry "$good" --id good --unrestricted "$good" {{
    set classroom_trial=
    source "/releases/$2/{ENTRY}"
}}
for found in /releases/*/{ENTRY}; do
    regexp --set=1:other '/releases/([^/]*)/{ENTRY}' "$found"
    if [ "$other" != "$good" -a "$other" != "$pick" ]; then
        set fallback="$fallback 1 2"
        menuentry "$other" --id "$other" --unrestricted "$other" {{
            set classroom_trial=
            source "/releases/$2/{ENTRY}"
        }}
    fi
done
"""


def kernel_folder(release: str) -> str:
    """Where a release's kernel, initramfs and entry stand on the EFI system partition."""
    return f"/releases/{release}"


def entry_path(release: str) -> str:
    """The file with which a release can be started."""
    return f"{kernel_folder(release)}/{ENTRY}"


def installed_grub_cfg() -> str:
    """The start menu, the same on every disk."""
    return _MENU


def grub_entry(
    release: str, *, system_uuid: str, state_uuid: str, kernel_arguments: str = ""
) -> str:
    """How one release is started.

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
            f"panic={PANIC_S}",
            "$classroom_trial",
            *kernel_arguments.split(),
        ]
    )
    folder = kernel_folder(release)
    return f"linux {folder}/{KERNEL} {words}\ninitrd {folder}/{INITRD}\n"


def workshop_cfg(loader_password: str) -> str:
    """Whose password opens the loader, as GRUB reads it; without one nobody's does.

    Raises ConfigError for what is not one hash.
    """
    if not _PASSWORD.fullmatch(loader_password):
        raise ConfigError(
            "The loader's password is no PBKDF2 hash of GRUB's form.",
            "It is made by the station; image this machine again.",
            field="loader_password",
        )
    words = f"password_pbkdf2 {SUPERUSER} {loader_password}\n" if loader_password else ""
    return f"# The station keeps the password.\n{words}"


def first_boot_files(
    release: str,
    *,
    system_uuid: str,
    state_uuid: str,
    kernel_arguments: str = "",
    loader_password: str = "",
) -> dict[str, bytes]:
    """All that a freshly imaged disk needs on its ESP to start `release`, by path.

    `loader_password` is the hash of the password with which a start line may be changed.
    """
    entry = grub_entry(
        release,
        system_uuid=system_uuid,
        state_uuid=state_uuid,
        kernel_arguments=kernel_arguments,
    )
    return {
        WORKSHOP_CFG: workshop_cfg(loader_password).encode(),
        GRUB_CFG: installed_grub_cfg().encode(),
        GRUB_ENV: pack_env({GOOD: release, TRY: "", LEFT: ""}),
        SECOND_ENV: pack_env({GOOD: release}),
        entry_path(release): entry.encode(),
    }
