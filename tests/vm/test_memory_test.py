"""The long memory test starts from the boot menu: by Esc, and by the station's order.

Proof is what memtest86+ itself says on the serial line, on a PC of each kind of firmware.
"""

from __future__ import annotations

import time

import pytest

from provisioner.lab.machine import Machine, VirtualPC
from provisioner.model.hardware import Firmware
from provisioner.netboot.menus import BootAction, BootDecision
from provisioner.netboot.settings import DhcpMode
from tests.vm.test_boot_paths import (
    BIOS,
    BOOT_TIMEOUT_S,
    LIVE,
    NARROW,
    Open,
    live,
    open_workshop,
    requested,
    wait_for,
)

__all__ = ["live", "open_workshop"]  # the fixtures
pytestmark = [pytest.mark.vm, pytest.mark.long]

OPEN = VirtualPC(name="open", firmware=Firmware.UEFI64, mac="52:54:00:00:00:04")
MEMORY_TEST = BootDecision(
    action=BootAction.MEMORY_TEST, arguments=("console=ttyS0,115200",), retry_s=2
)


def shows_the_memory_test(machine: Machine) -> None:
    """memtest86+ names itself and goes on from test to test."""
    machine.wait_for_serial(r"Memtest86\+", BOOT_TIMEOUT_S)
    machine.wait_for_serial(r"(?s)Memtest86\+.*Pass", BOOT_TIMEOUT_S)


@pytest.mark.parametrize(
    ("pc", "script"), [(BIOS, "/boot/boot.ipxe"), (OPEN, "/boot/grub.cfg")],
    ids=lambda one: getattr(one, "name", None),
)  # fmt: skip
def test_esc_starts_it(open_workshop: Open, pc: VirtualPC, script: str) -> None:
    workshop = open_workshop(DhcpMode.SERVER)
    workshop.decide(LIVE)
    with workshop.switched_on(pc) as machine:
        wait_for(lambda: requested(workshop, f"{script}?mac={pc.mac}") > 0, BOOT_TIMEOUT_S)
        for _ in range(100):
            machine.press_key("esc")
            if requested(workshop, "/live/netboot/memtest64"):
                break
            time.sleep(0.2)
        shows_the_memory_test(machine)
    assert "vmlinuz" not in workshop.requests


@pytest.mark.parametrize("pc", [BIOS, OPEN, NARROW], ids=lambda pc: pc.name)
def test_an_order_starts_it(open_workshop: Open, pc: VirtualPC) -> None:
    workshop = open_workshop(DhcpMode.SERVER)
    workshop.decide(MEMORY_TEST)
    with workshop.switched_on(pc) as machine:
        shows_the_memory_test(machine)
    assert "vmlinuz" not in workshop.requests
