"""Which system a disk starts, asked of GRUB itself: trials, power cuts, lost and damaged words."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from provisioner.model.release import INITRD, KERNEL
from provisioner.release.bootenv import SIZE, pack_env, parse_env
from provisioner.release.grubcfg import (
    GRUB_ENV,
    SECOND_ENV,
    WORKSHOP_CFG,
    entry_path,
    first_boot_files,
    grub_entry,
    kernel_folder,
    workshop_cfg,
)
from provisioner.run import run
from provisioner.workshop import loader_password
from tests import real_grub

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("grub-emu") is None, reason="needs grub-emu"),
]
OLD, NEW = "lab@2026.1", "lab@2026.2"
ESP_BYTES = 64 << 20


class Esp:
    """A disk's EFI system partition as a file, changed with mtools."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.image = folder, folder / "esp.img"
        with self.image.open("wb") as file:
            file.truncate(ESP_BYTES)
        run(["mkfs.vfat", "-F", "32", "-n", "ESP", self.image], timeout_s=60)
        run(["mmd", "-i", self.image, "::EFI", "::EFI/debian", "::releases"], timeout_s=60)
        self.release(OLD)
        for path, data in first_boot_files(OLD, system_uuid="s", state_uuid="t").items():
            self.put(path, data)

    def release(self, name: str, *, entry: bool = False) -> None:
        run(["mmd", "-i", self.image, f"::{kernel_folder(name)}"], timeout_s=60)
        for file in (KERNEL, INITRD):
            self.put(f"{kernel_folder(name)}/{file}", b"x" * 5000)
        if entry:
            self.put(entry_path(name), grub_entry(name, system_uuid="s", state_uuid="t").encode())

    def put(self, path: str, data: bytes) -> None:
        source = self.folder / "put"
        source.write_bytes(data)
        run(["mcopy", "-o", "-i", self.image, source, f"::{path}"], timeout_s=60)

    def get(self, path: str) -> bytes:
        target = self.folder / "got"
        run(["mcopy", "-n", "-o", "-i", self.image, f"::{path}", target], timeout_s=60)
        return target.read_bytes()

    def remove(self, path: str) -> None:
        run(["mdel", "-i", self.image, f"::{path}"], timeout_s=60)

    def start(self) -> tuple[str, bool]:
        found = real_grub.start(self.image, self.folder / "grub")
        assert found.release, found.said
        return found.release, found.trial

    def say(self, **values: str) -> None:
        self.put(GRUB_ENV, pack_env(values))


@pytest.fixture
def esp(tmp_path: Path) -> Esp:
    return Esp(tmp_path)


def test_our_block_is_grubs(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_bytes(pack_env({"good": OLD, "try": NEW, "left": "2"}))
    said = run(["grub-editenv", file, "list"], timeout_s=60).stdout
    assert said.split() == [f"good={OLD}", f"try={NEW}", "left=2"]
    run(["grub-editenv", file, "set", "left=1"], timeout_s=60)
    assert parse_env(file.read_bytes()) == {"good": OLD, "try": NEW, "left": "1"}


def test_twenty_power_cycles_change_nothing(esp: Esp) -> None:
    before = esp.image.read_bytes()
    assert {esp.start() for _ in range(20)} == {(OLD, False)}
    assert esp.image.read_bytes() == before


def test_a_trial_is_started_twice_and_then_the_old_system(esp: Esp) -> None:
    esp.release(NEW, entry=True)
    esp.say(good=OLD, **{"try": NEW}, left="2")
    starts = [esp.start() for _ in range(5)]
    assert starts == [(NEW, True), (NEW, True), (OLD, False), (OLD, False), (OLD, False)]
    assert parse_env(esp.get(GRUB_ENV)) == {"good": OLD, "try": NEW, "left": "0"}


def test_a_release_without_its_entry_is_not_tried(esp: Esp) -> None:
    esp.release(NEW)
    esp.say(good=OLD, **{"try": NEW}, left="2")
    assert esp.start() == (OLD, False)


def test_a_trial_without_its_kernel_falls_back_in_the_same_start(esp: Esp) -> None:
    esp.release(NEW, entry=True)
    esp.remove(f"{kernel_folder(NEW)}/{KERNEL}")
    esp.say(good=OLD, **{"try": NEW}, left="2")
    assert esp.start() == (OLD, False)


@pytest.mark.parametrize("left", ["", "0", "3", "9", "x"])
def test_a_number_that_nobody_wrote_starts_no_trial(esp: Esp, left: str) -> None:
    esp.release(NEW, entry=True)
    esp.say(good=OLD, **{"try": NEW}, left=left)
    assert esp.start() == (OLD, False)


@pytest.mark.parametrize("damage", [b"", b"\0" * SIZE, b"\xff" * SIZE, b"# GRUB Env", b"#" * SIZE])
def test_a_lost_block_is_replaced_by_the_second(esp: Esp, damage: bytes) -> None:
    esp.release(NEW, entry=True)
    esp.put(SECOND_ENV, pack_env({"good": NEW}))
    esp.put(GRUB_ENV, damage)
    assert esp.start() == (NEW, False)
    esp.remove(GRUB_ENV)
    assert esp.start() == (NEW, False)


def test_without_either_what_can_be_started_is(esp: Esp) -> None:
    esp.remove(GRUB_ENV)
    esp.remove(SECOND_ENV)
    esp.release(NEW)  # has no entry: nobody has proved it
    assert esp.start() == (OLD, False)


def test_a_name_that_does_not_exist_is_not_believed(esp: Esp) -> None:
    esp.say(good="lab@2031.1", **{"try": "lab@2032.1"}, left="2")
    assert esp.start() == (OLD, False)


def test_a_good_release_that_lost_its_kernel_is_not_the_end(esp: Esp) -> None:
    esp.release(NEW, entry=True)
    esp.remove(f"{kernel_folder(OLD)}/{KERNEL}")
    assert esp.start() == (NEW, False)


MENU, USER, PASSWORD = "for a command-line.", "Enter username:", "Enter password:"


@pytest.mark.parametrize("key", ["c", "e"])
def test_a_pupil_gets_neither_a_prompt_nor_the_start_line(esp: Esp, key: str) -> None:
    hashed = loader_password.hashed("right4room", b"salt" * 8)
    esp.put(WORKSHOP_CFG, workshop_cfg(hashed).encode())
    typed = ((MENU, key), (USER, "workshop\r"), (PASSWORD, "wrong4room\r"))
    said = real_grub.sit_down(esp.image, esp.folder / "grub", *typed, wanted=MENU)
    assert PASSWORD in said  # it was asked for
    assert "grub>" not in said and "linux /releases" not in said
    assert esp.start() == (OLD, False)


def test_a_technician_gets_the_prompt_with_the_machines_password(esp: Esp, tmp_path: Path) -> None:
    password = loader_password.password_of(tmp_path, "PC-0001")
    esp.put(WORKSHOP_CFG, workshop_cfg(loader_password.hashed(password)).encode())
    typed = ((MENU, "c"), (USER, "workshop\r"), (PASSWORD, f"{password}\r"))
    said = real_grub.sit_down(esp.image, esp.folder / "grub", *typed, wanted="grub>")
    assert said.rstrip().endswith("grub>")


@pytest.mark.parametrize("lost", [True, False])
def test_a_disk_that_lost_the_password_lets_nobody_in(esp: Esp, lost: bool) -> None:
    if lost:
        esp.remove(WORKSHOP_CFG)
    typed = ((MENU, "c"), (USER, "workshop\r"), (PASSWORD, "\r"))
    said = real_grub.sit_down(esp.image, esp.folder / "grub", *typed, wanted=MENU)
    assert PASSWORD in said
    assert "grub>" not in said
    assert esp.start() == (OLD, False)
