"""What loaders are told; what strangers send must not become part of a script."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from provisioner.errors import ConfigError
from provisioner.netboot.menus import (
    BootAction,
    BootDecision,
    grub_config,
    grub_hello,
    ipxe_hello,
    ipxe_script,
    kernel_arguments,
    parse_mac,
    plain,
)
from provisioner.netboot.settings import NetbootSettings
from provisioner.release.loader import MEMORY_TESTS
from tests.unit.netboot.test_settings import make

MAC = "52:54:00:aa:00:02"
Menu = Callable[[BootDecision, NetbootSettings, str], str]
LIVE = BootDecision(action=BootAction.LIVE, arguments=("console=ttyS0,115200",))


@pytest.mark.parametrize("text", [MAC, "52-54-00-AA-00-02", " 52:54:00:AA:00:02\n"])
def test_a_mac_is_brought_into_our_form(text: str) -> None:
    assert parse_mac(text) == MAC


@pytest.mark.parametrize(
    "text", ["", "52:54:00:aa:00", MAC + "\nexit", "${net0/mac}", "52:54:00:aa:00:0g", "../../etc"]
)
def test_anything_else_is_no_mac(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_mac(text)


def test_the_kernel_learns_station_and_network_card() -> None:
    assert kernel_arguments(LIVE, make(), MAC) == [
        "boot=live",
        "station=http://10.77.0.1:8080",
        "BOOTIF=01-52-54-00-aa-00-02",
        "console=tty0",
        "console=ttyS0,115200",
    ]


@pytest.mark.parametrize("word", ["a b", "a;b", "$(x)", "a'b", "a&b", 'a"b', "{a", "a\nb", "-a"])
def test_arguments_that_a_loader_would_read_are_refused(word: str) -> None:
    with pytest.raises(ValidationError):
        BootDecision(action=BootAction.LIVE, arguments=(word,))


def test_ipxe_boots_the_live_environment() -> None:
    script = ipxe_script(LIVE, make(), MAC)
    assert script.startswith("#!ipxe\n")
    kernel = next(line for line in script.splitlines() if line.startswith("kernel "))
    assert kernel.startswith("kernel http://10.77.0.1:8080/live/vmlinuz initrd=initrd.img ")
    assert "BOOTIF=01-52-54-00-aa-00-02" in kernel
    assert "initrd --name initrd.img http://10.77.0.1:8080/live/initrd.img" in script


def test_grub_boots_the_live_environment() -> None:
    config = grub_config(LIVE, make(), MAC)
    assert "linux (http,10.77.0.1:8080)/live/vmlinuz 'boot=live'" in config
    assert "initrd (http,10.77.0.1:8080)/live/initrd.img" in config


MEMORY = BootDecision(action=BootAction.MEMORY_TEST, arguments=("quiet", "console=ttyS0,115200"))


def test_a_key_starts_the_memory_test_instead() -> None:
    ipxe, grub = ipxe_script(LIVE, make(), MAC), grub_config(LIVE, make(), MAC)
    # On iPXE without the command, and when nobody presses the key, the next line follows.
    assert re.search(r"^prompt --key 0x1b --timeout 2000 .* && goto memory_test \|\|$", ipxe, re.M)
    assert ipxe.index("prompt") < ipxe.index("/live/vmlinuz") < ipxe.index(":memory_test")
    assert grub.index("sleep --interruptible 2") < grub.index("memtest64.efi")
    assert grub.index("memtest64.efi") < grub.index("/live/vmlinuz")


def test_an_ordered_memory_test_starts_nothing_else() -> None:
    for script in (ipxe_script(MEMORY, make(), MAC), grub_config(MEMORY, make(), MAC)):
        assert "vmlinuz" not in script and "prompt" not in script and "interruptible" not in script
        assert "console=ttyS0,115200" in script and "quiet" not in script


@pytest.mark.parametrize("decision", [LIVE, MEMORY])
def test_each_firmware_gets_its_memory_test(decision: BootDecision) -> None:
    """The names are those that the live environment carries (release.loader)."""
    ipxe, grub = ipxe_script(decision, make(), MAC), grub_config(decision, make(), MAC)
    assert "iseq ${platform} pcbios && set memtest /live/netboot/memtest64.bin" in ipxe
    assert "|| set memtest /live/netboot/memtest64.efi" in ipxe
    assert 'if [ "${grub_cpu}" = i386 ]; then\n    set memtest=/live/netboot/memtest32.efi' in grub
    offered = set(re.findall(r"netboot/(memtest[0-9a-z.]+)", ipxe + grub))
    assert offered == set(MEMORY_TESTS.values())
    assert "Secure Boot" in grub  # where it is on, this program is refused, and it is said


def test_local_on_bios_is_the_first_disk_then_leaving() -> None:
    script = ipxe_script(BootDecision(action=BootAction.LOCAL), make(), MAC)
    assert "sanboot --no-describe --drive 0x80 || exit 0" in script
    assert "kernel" not in script


def test_local_on_uefi_starts_the_disks_own_loader() -> None:
    config = grub_config(BootDecision(action=BootAction.LOCAL, esp_uuid="12AB-34CD"), make(), MAC)
    assert "search --no-floppy --fs-uuid --set=disk 12AB-34CD" in config
    # Only $root tells the loader which disk it came from.
    assert config.index('set root="${disk}"') < config.index('chainloader "${loader}"')
    assert "vmlinuz" not in config


@pytest.mark.parametrize("uuid", ["12ab-34cd", "12AB34CD", "12AB-34CD; halt", ""])
def test_an_esp_is_named_by_a_fat_serial_only(uuid: str) -> None:
    with pytest.raises(ValidationError):
        BootDecision(action=BootAction.LOCAL, esp_uuid=uuid)


@pytest.mark.parametrize("menu", [ipxe_script, grub_config])
def test_wait_says_why_and_asks_again(menu: Menu) -> None:
    text = menu(
        BootDecision(action=BootAction.WAIT, message="Batch is full", retry_s=7), make(), MAC
    )
    assert "Batch is full" in text
    assert "sleep 7" in text
    assert "vmlinuz" not in text and "sanboot" not in text and "chainloader" not in text


@pytest.mark.parametrize("menu", [ipxe_script, grub_config])
def test_a_message_cannot_become_a_command(menu: Menu) -> None:
    evil = "hello'; reboot; echo ' ${net0/mac} || exit `x` \\ 批次已满"
    text = menu(BootDecision(action=BootAction.WAIT, message=evil), make(), MAC)
    said = next(line for line in text.splitlines() if line.startswith("echo"))
    inside = said.removeprefix("echo ").strip("'")
    assert inside == plain(evil)
    assert not set("'\";|`\\${}&<>") & set(inside)


def test_hello_asks_the_station_with_the_machines_address() -> None:
    assert "/boot/boot.ipxe?mac=${netX/mac}" in ipxe_hello(make())
    assert '"(http,10.77.0.1:8080)/boot/grub.cfg?mac=${net_default_mac}' in grub_hello(make())
