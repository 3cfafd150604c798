"""What the loaders are told: scripts for iPXE and GRUB, as pure functions.

The station decides for each machine (`BootDecision`); here the decision becomes text in the
loader's language. Loaders run what they get, so nothing reaches a script that was not checked:
MACs and kernel arguments by their models, messages reduced to plain ASCII.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from provisioner.errors import ConfigError
from provisioner.model.base import Mac, Model, ShortText
from provisioner.netboot.settings import NetbootSettings
from provisioner.templating import render

KERNEL_PATH = "/live/vmlinuz"
INITRD_PATH = "/live/initrd.img"
MEMORY_TEST_PATH = "/live/netboot/memtest"  # 64.bin for BIOS, 64.efi and 32.efi for UEFI
OFFER_S = 2  # how long a key for the memory test is waited for
IPXE_PATH = "/boot/boot.ipxe"
GRUB_PATH = "/boot/grub.cfg"

# One word of a kernel command line that means the same to the kernel, iPXE and GRUB: no blank,
# quote, dollar, brace, backslash, semicolon or other sign that a loader's script would read.
KernelArgument = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.,:=@/+%-]{0,499}$")
]
# The serial number of a FAT file system as blkid and GRUB write it.
FatUuid = Annotated[str, StringConstraints(pattern=r"^[0-9A-F]{4}-[0-9A-F]{4}$")]
_MAC = TypeAdapter(Mac)
_MESSAGE_CHARACTERS = re.compile(r"[^A-Za-z0-9 .,:/()+_-]")


class BootAction(StrEnum):
    """`live`: boot the live environment. `local`: the own disk. `wait`: ask again later.

    `memory-test`: memtest86+, which runs until the machine is switched off.
    """

    LIVE = "live"
    LOCAL = "local"
    WAIT = "wait"
    MEMORY_TEST = "memory-test"


class BootDecision(Model):
    """What one machine shall boot now.

    `retry_s`: seconds until it asks again. `esp_uuid`: the EFI system partition of the disk that
    was imaged; without it the first disk that holds a loader is taken.
    """

    action: BootAction
    message: ShortText = ""
    arguments: tuple[KernelArgument, ...] = ()
    retry_s: int = Field(default=10, ge=1, le=600)
    esp_uuid: FatUuid | None = None


def parse_mac(text: str) -> str:
    """A MAC as loaders write it (`52-54-00-…`, `52:54:00:…`), in our form.

    Raises ConfigError for anything else: this text came from an unknown machine.
    """
    try:
        return _MAC.validate_python(text.strip().lower().replace("-", ":"))
    except ValidationError as error:
        raise ConfigError("This is not a MAC address.", field="mac") from error


def kernel_arguments(decision: BootDecision, settings: NetbootSettings, mac: str) -> list[str]:
    """The live environment's command line. `BOOTIF` says which network card booted it."""
    return [
        "boot=live",
        f"station={settings.station_url}",
        f"BOOTIF=01-{parse_mac(mac).replace(':', '-')}",
        "console=tty0",
        *decision.arguments,
    ]


def ipxe_hello(settings: NetbootSettings) -> str:
    """The first script, the same for every machine: say who you are and ask again."""
    return render("netboot/hello.ipxe.j2", url=settings.station_url, path=IPXE_PATH)


def ipxe_script(decision: BootDecision, settings: NetbootSettings, mac: str) -> str:
    """The script for one machine that runs iPXE (BIOS, or UEFI with an iPXE network card)."""
    return render("netboot/boot.ipxe.j2", **_values(decision, settings, mac))


def grub_hello(settings: NetbootSettings) -> str:
    """`grub/grub.cfg`, the same for every machine: fetch your own configuration by HTTP."""
    return render(
        "netboot/hello.grub.cfg.j2",
        server=f"(http,{settings.station.ip}:{settings.http_port})",
        path=GRUB_PATH,
    )


def grub_config(decision: BootDecision, settings: NetbootSettings, mac: str) -> str:
    """The configuration for one machine that runs GRUB (UEFI)."""
    return render(
        "netboot/boot.grub.cfg.j2",
        server=f"(http,{settings.station.ip}:{settings.http_port})",
        **_values(decision, settings, mac),
    )


def _values(decision: BootDecision, settings: NetbootSettings, mac: str) -> dict[str, object]:
    return {
        "action": decision.action.value,
        "message": plain(decision.message),
        "retry_s": decision.retry_s,
        "esp_uuid": decision.esp_uuid,
        "arguments": kernel_arguments(decision, settings, mac),
        "url": settings.station_url,
        "kernel": KERNEL_PATH,
        "initrd": INITRD_PATH,
        "memory_test": MEMORY_TEST_PATH,
        "offer_s": OFFER_S,
        # What reads a command line of memtest86+'s own; all else means nothing to it.
        "consoles": [word for word in decision.arguments if word.startswith("console=")],
        "ipxe_path": IPXE_PATH,
    }


def plain(text: str) -> str:
    """A message that loaders can print: their fonts have ASCII only, their scripts signs."""
    return _MESSAGE_CHARACTERS.sub("?", text)
