"""Reading the machine: recorded outputs of a Debian 13 live environment, and hostile ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from provisioner.agent import hardware, lsblk, nic, smart
from provisioner.agent.mounting import mounts_below, parse_mountinfo, prove_mounted
from provisioner.agent.surroundings import parse_command_line
from provisioner.agent.text import LIMIT, clean
from provisioner.errors import CommandError, ProofMissingError
from provisioner.model.hardware import Firmware, Transport
from provisioner.model.record import CheckOutcome

SAMPLES = Path(__file__).parents[2] / "samples"
LSBLK = (SAMPLES / "lsblk/live-qemu.json").read_text()


def test_the_disks_of_a_real_machine() -> None:
    disks = {disk.name: disk for disk in lsblk.parse_lsblk(LSBLK)}
    assert list(disks) == ["sda", "sdb", "sdc", "vda", "nvme0n1"]
    assert [disk.transport for disk in disks.values()] == [
        Transport.IDE, Transport.SATA, Transport.USB, Transport.VIRTIO, Transport.NVME,
    ]  # fmt: skip
    assert disks["sdc"].removable
    assert disks["sdb"].serial == "SATA-0001"
    assert disks["nvme0n1"].wwn.startswith("nvme.1b36-")
    assert disks["nvme0n1"].content == ("dos", "nvme0n1p1: ext4 “old”")
    assert not any(disk.in_use for disk in disks.values())


def row(**more: Any) -> str:
    base = {"name": "sda", "kname": "sda", "type": "disk", "size": 1000, "tran": "sata"}
    return json.dumps({"blockdevices": [{**base, **more}]})


@pytest.mark.parametrize(
    "more",
    [
        {"mountpoints": ["/mnt"]},
        {"mountpoint": None, "mountpoints": ["[SWAP]"]},
        {"children": [{"name": "sda1", "type": "part", "mountpoints": [None, "/x"]}]},
        {"children": [{"name": "md0", "type": "raid1", "mountpoints": [None]}]},
        {"children": [{"name": "a", "type": "part", "children": [{"name": "c", "type": "crypt"}]}]},
    ],
)
def test_a_disk_that_somebody_uses_is_in_use(more: dict[str, Any]) -> None:
    assert lsblk.parse_lsblk(row(**more))[0].in_use


@pytest.mark.parametrize(
    "more",
    [
        {"type": "loop"},
        {"type": "rom"},
        {"size": 0},
        {"size": None},
        {"kname": "zram0"},
        {"kname": "fd0"},
        {"kname": "mmcblk0boot0"},
    ],
)
def test_what_holds_no_data_is_no_disk(more: dict[str, Any]) -> None:
    assert lsblk.parse_lsblk(row(**more)) == ()


def test_usb_in_the_path_is_usb_whatever_the_disk_says() -> None:
    assert lsblk.parse_lsblk(row(tran="sata", subsystems="block:scsi:usb:pci"))[0].transport is (
        Transport.USB
    )


def test_an_unknown_transport_is_unknown() -> None:
    assert lsblk.parse_lsblk(row(tran="quantum"))[0].transport is Transport.UNKNOWN


HOSTILE = ["x" * 2_000_000, "\x1b[2J\x00\r\n evil", "\ud800 half", "\u202e", "ÿ" * 300]


@pytest.mark.parametrize("value", [*HOSTILE, 7, None, [], {"a": 1}, True])
@pytest.mark.parametrize("field", ["serial", "model", "wwn", "tran", "label", "fstype", "pttype"])
def test_hostile_values_are_cut_and_cleaned(field: str, value: object) -> None:
    disk = lsblk.parse_lsblk(row(**{field: value}))[0]
    for text in (disk.serial, disk.model, disk.wwn, *disk.content):
        assert len(text) <= LIMIT
        assert text.isprintable() or "\u202e" in text


@pytest.mark.parametrize("size", [2**70, "99999999999999999999999999", -1, "x", 1.5])
def test_impossible_sizes_do_not_stop_a_machine(size: object) -> None:
    for disk in lsblk.parse_lsblk(row(size=size)):
        assert 0 <= disk.size_bytes < 2**63


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"blockdevices": 3}', "[" * 100_000])
def test_what_lsblk_never_writes_is_an_error(text: str) -> None:
    with pytest.raises(CommandError):
        lsblk.parse_lsblk(text)


def test_more_disks_than_a_machine_has_are_cut() -> None:
    many = [{"name": f"sd{n}", "type": "disk", "size": 1} for n in range(10_000)]
    assert len(lsblk.parse_lsblk(json.dumps({"blockdevices": many}))) == 64


@pytest.mark.parametrize("value", HOSTILE)
def test_cleaned_text_fits_the_model(value: str) -> None:
    text = clean(value)
    assert len(text) <= LIMIT
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in text)
    text.encode()


def test_permanent_addresses() -> None:
    read = nic.parse_permanent_mac
    assert read("Permanent address: 52:54:00:AB:34:56\n") == "52:54:00:ab:34:56"
    assert read("Permanent address: not set\n") is None
    assert read("Permanent address: 00:00:00:00:00:00") is None
    assert read("") is None


@pytest.mark.parametrize(
    ("value", "mac"),
    [
        ("01-52-54-00-12-34-56", "52:54:00:12:34:56"),
        ("52:54:00:12:34:56", "52:54:00:12:34:56"),
        ("", ""),
        ("01-52-54", ""),
        ("../../etc", ""),
    ],
)
def test_bootif(value: str, mac: str) -> None:
    assert nic.parse_bootif(value) == mac


@pytest.mark.parametrize(
    ("text", "speed"), [("1000", 1000), ("-1", None), ("", None), ("4294967295", None)]
)
def test_link_speed(text: str, speed: int | None) -> None:
    assert nic.parse_speed(text) == speed


def test_processor_and_memory_of_a_real_machine() -> None:
    name, threads = hardware.parse_cpuinfo((SAMPLES / "proc/cpuinfo").read_text())
    assert (name, threads) == ("QEMU Virtual CPU version 2.5+", 2)
    usable = hardware.parse_meminfo((SAMPLES / "proc/meminfo").read_text())
    assert 850 < usable < 1024
    assert hardware.choose_memory_mib(usable, 1024) == 1024


@pytest.mark.parametrize(
    ("usable", "blocks", "told"), [(970, 1024, 1024), (970, 0, 970), (970, 4096, 970),
                                   (7900, 8192, 8192)],
)  # fmt: skip
def test_memory_blocks_are_believed_when_plausible(usable: int, blocks: int, told: int) -> None:
    assert hardware.choose_memory_mib(usable, blocks) == told


@pytest.mark.parametrize(
    ("value", "on"),
    [(b"\6\0\0\0\1", True), (b"\6\0\0\0\0", False), (b"", None), (b"\6\0\0\0\7", None)],
)
def test_secure_boot_variable(value: bytes, on: bool | None) -> None:
    assert hardware.parse_secure_boot(value) is on


def test_firmware_from_sysfs(tmp_path: Path) -> None:
    assert hardware.read_firmware(tmp_path) is Firmware.BIOS
    efi = tmp_path / "sys/firmware/efi"
    efi.mkdir(parents=True)
    assert hardware.read_firmware(tmp_path) is Firmware.UEFI64
    (efi / "fw_platform_size").write_text("32\n")
    assert hardware.read_firmware(tmp_path) is Firmware.UEFI32


def test_smbios_with_invalid_text(tmp_path: Path) -> None:
    folder = tmp_path / "sys/class/dmi/id"
    folder.mkdir(parents=True)
    (folder / "product_name").write_bytes(b"\xff\xfe Opti\x00Plex \n" * 9000)
    (folder / "product_uuid").write_text("03000200-0400-0500-0006-000700080009\n")
    told = hardware.read_smbios(tmp_path)
    assert len(told.system_product) <= LIMIT
    assert told.uuid == "03000200-0400-0500-0006-000700080009"
    assert told.board_serial == ""


def smart_sample(name: str) -> str:
    return (SAMPLES / f"smartctl/{name}.json").read_text()


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("ata-qemu", CheckOutcome.PASS),
        ("nvme-qemu", CheckOutcome.PASS),
        ("virtio-qemu", CheckOutcome.UNKNOWN),
    ],
)
def test_the_health_of_real_answers(name: str, outcome: CheckOutcome) -> None:
    assert smart.parse_health(smart_sample(name)).outcome is outcome


def aged(attribute: int, raw: int) -> str:
    told = json.loads(smart_sample("ata-qemu"))
    told["ata_smart_attributes"]["table"].append({"id": attribute, "raw": {"value": raw}})
    return json.dumps(told)


@pytest.mark.parametrize(
    ("attribute", "raw", "outcome"),
    [
        (5, 1, CheckOutcome.WARN),
        (5, 4, CheckOutcome.WARN),
        (5, 5, CheckOutcome.FAIL),
        (197, 1, CheckOutcome.WARN),
        (198, 2, CheckOutcome.FAIL),
        (9, 99_999, CheckOutcome.PASS),
    ],
)
def test_worn_disks(attribute: int, raw: int, outcome: CheckOutcome) -> None:
    assert smart.parse_health(aged(attribute, raw)).outcome is outcome


@pytest.mark.parametrize("text", ["", "{}", "null", "[]", '{"smart_status": 3}', "\xff"])
def test_no_answer_is_never_good(text: str) -> None:
    assert smart.parse_health(text).outcome is CheckOutcome.UNKNOWN


def test_a_disk_that_calls_itself_failing() -> None:
    told = json.loads(smart_sample("nvme-qemu"))
    told["smart_status"]["passed"] = False
    assert smart.parse_health(json.dumps(told)).outcome is CheckOutcome.FAIL


MOUNTS = (SAMPLES / "proc/mountinfo").read_text()
OURS = "90 35 8:18 / /run/classroom-imaging/ESP rw,noatime shared:1 - vfat /dev/sdb2 rw\n"


def test_mountinfo_of_a_real_machine() -> None:
    mounts = {mount.point: mount for mount in parse_mountinfo(MOUNTS)}
    assert mounts["/"].kind == "overlay"
    assert mounts["/run/live/lower/base"].device == (7, 0)
    assert mounts_below(Path("/run/classroom-imaging"), MOUNTS + OURS) == [
        "/run/classroom-imaging/ESP"
    ]


POINT = Path("/run/classroom-imaging/ESP")


def test_a_mount_is_proved_by_its_device() -> None:
    prove_mounted(MOUNTS + OURS, POINT, (8, 18), "vfat", read_only=False)


@pytest.mark.parametrize(
    ("text", "device", "kind", "read_only"),
    [
        (MOUNTS, (8, 18), "vfat", False),  # a `mount` that did nothing
        (MOUNTS + OURS, (8, 2), "vfat", False),
        (MOUNTS + OURS, (8, 18), "ext4", False),
        (MOUNTS + OURS, (8, 18), "vfat", True),
        (MOUNTS + OURS.replace(" / /run", " /sub /run"), (8, 18), "vfat", False),
    ],
)
def test_anything_else_is_no_proof(
    text: str, device: tuple[int, int], kind: str, read_only: bool
) -> None:
    with pytest.raises(ProofMissingError):
        prove_mounted(text, POINT, device, kind, read_only)


def test_the_kernels_command_line() -> None:
    told = parse_command_line("boot=live station=http://10.0.0.1:8080 quiet console=tty0 a=b=c")
    assert told["station"] == "http://10.0.0.1:8080"
    assert told["quiet"] == ""
    assert told["a"] == "b=c"
    assert parse_command_line('odd "quote')["odd"] == ""
