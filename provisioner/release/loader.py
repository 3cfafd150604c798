"""The boot loaders of a release: for a machine's own disk, and for the network.

All of them come from Debian's packages of the release's own suite, whatever the station runs:
shim and the signed GRUB as they are, so that Secure Boot stays on; images for old BIOSes and
for 32-bit UEFI made by that suite's own grub-mkimage.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import ProofMissingError
from provisioner.model.release import (
    LOADER_BOOT_IMG,
    LOADER_CORE_IMG,
    LOADER_GRUB,
    LOADER_IA32,
    LOADER_MOK,
    LOADER_SHIM,
    Component,
    ReleaseKind,
)
from provisioner.release import bios
from provisioner.release.bootstrap import name_and_version
from provisioner.release.boxed import run_inside
from provisioner.release.cache import Cache, key_of
from provisioner.release.licences import read_licence
from provisioner.release.packages import Deb, Packages, PrivateApt
from provisioner.run import run

GENERATION = 3
NAMES = (
    "base-files", "grub-common", "grub-pc-bin", "grub-efi-ia32-bin", "grub-efi-amd64-signed",
    "shim-signed", "shim-helpers-amd64-signed", "ipxe", "memtest86+",
)  # fmt: skip
# Packages of which something ends up in a release; the others only serve to make it.
SHIPPED = {
    "grub-pc-bin", "grub-efi-ia32-bin", "grub-efi-ia32-unsigned", "grub-efi-amd64-signed",
    "shim-signed", "shim-helpers-amd64-signed", "ipxe", "memtest86+",
}  # fmt: skip
GRUB, SHIM, IPXE = Path("usr/lib/grub"), Path("usr/lib/shim"), Path("usr/lib/ipxe")
# What memtest86+ is called in its package and on the network (netboot.menus): all of them are
# Linux kernels in form, those for UEFI are programs of UEFI as well.
MEMORY_TESTS = {
    "memtest86+x64.bin": "memtest64.bin",
    "memtest86+x64.efi": "memtest64.efi",
    "memtest86+ia32.efi": "memtest32.efi",
}
SIGNED = GRUB / "x86_64-efi-signed"
# GRUB looks for grub.cfg in its prefix: on the second partition of the disk it started from…
DISK_PREFIX_BIOS = "(,gpt2)/EFI/debian"
DISK_PREFIX_EFI = "/EFI/debian"
NET_PREFIX = "/grub"  # …or on the server it came from, where the signed one looks as well
COMMON = (
    "all_video", "boot", "cat", "configfile", "echo", "ext2", "fat", "gfxterm", "gzio", "halt",
    "linux", "loadenv", "ls", "minicmd", "normal", "part_gpt", "part_msdos", "password_pbkdf2",
    "probe", "reboot", "regexp", "search", "search_fs_uuid", "search_label", "serial", "sleep",
    "terminal", "test", "true",
)  # fmt: skip
ON_BIOS = ("biosdisk",)
ON_EFI = ("chain", "efi_gop", "efi_uga")
ON_NET = ("efinet", "http", "net", "tftp")
MAKE_S, UNPACK_S = 1800, 1800
# PE machine types (Microsoft's PE format); the certificate table is data directory 4
X64, IA32 = 0x8664, 0x14C


@dataclass(frozen=True)
class Loaders:
    """A folder with `system/loader/…` and `live/netboot/…`, and what the files are made of."""

    folder: Path
    debs: tuple[Deb, ...]

    def copy(self, kind: ReleaseKind, release: Path) -> None:
        """Put the loaders of a kind of release into its folder."""
        shutil.copytree(self.folder / kind.value, release, dirs_exist_ok=True)

    def components(self) -> list[Component]:
        """The packages that the loaders come from."""
        doc = self.folder / "doc"
        named = (name_and_version(deb.file) for deb in self.debs)
        return [
            Component(name=name, version=version, licence=(doc / name).read_text().strip())
            for name, version in named
            if name in SHIPPED
        ]


def ensure_loaders(apt: PrivateApt, cache: Cache, locked: tuple[Deb, ...] | None = None) -> Loaders:
    """The loaders of the suite that `apt` serves, made when its packages are new.

    With `locked` they are made from just these packages.
    """
    if locked is None:
        debs = apt.resolve(NAMES)
        packages = apt.download(NAMES, debs)
    else:
        debs, packages = locked, apt.download_exactly(locked)

    def make(out: Path) -> None:
        with cache.workspace() as work:
            tools = work / "tools"
            _extract(packages, tools)
            out.mkdir()
            _make_system(tools, out / ReleaseKind.SYSTEM.value)
            _make_live(tools, out / ReleaseKind.LIVE.value / "netboot")
            (out / "doc").mkdir()
            for name in SHIPPED & {name_and_version(deb.file)[0] for deb in debs}:
                (out / "doc" / name).write_text(read_licence(tools, name))

    key = key_of(GENERATION, packages.key, COMMON, ON_BIOS, ON_EFI, ON_NET)
    return Loaders(cache.entry("loaders", key, make), debs)


def check_pe(path: Path, machine: int, *, signed: bool) -> None:
    """Prove that a file is a UEFI program for `machine`, with a signature in it if `signed`.

    Whether the firmware trusts that signature, only the firmware can say.
    """
    data = path.read_bytes()
    found, certificates = parse_pe(data)
    if found != machine:
        raise ProofMissingError(f"{path.name} is not a UEFI program for this kind of machine.")
    if signed and certificates == 0:
        raise ProofMissingError(
            f"{path.name} carries no signature, so Secure Boot would refuse it.",
            "Is the suite's signed package in place? Build again.",
        )


def parse_pe(data: bytes) -> tuple[int, int]:
    """Machine type and size of the certificate table of a PE file; zeros when it is none."""
    if data[:2] != b"MZ" or len(data) < 0x40:
        return 0, 0
    start = struct.unpack_from("<I", data, 0x3C)[0]
    if data[start : start + 4] != b"PE\0\0":
        return 0, 0
    machine = struct.unpack_from("<H", data, start + 4)[0]
    optional = start + 24
    # PE32+ (0x20b) has wider fields than PE32 before its data directories
    wide = struct.unpack_from("<H", data, optional)[0] == 0x20B
    directories = optional + (112 if wide else 96)
    certificates = struct.unpack_from("<I", data, directories + 4 * 8 + 4)[0]
    return machine, certificates


def _extract(packages: Packages, into: Path) -> None:
    """Lay the packages' files out without installing them: base-files first, for its links."""
    into.mkdir()
    first = sorted(packages.paths, key=lambda path: not path.name.startswith("base-files_"))
    for path in first:
        run(["dpkg-deb", "--extract", path, into], timeout_s=UNPACK_S)


def _make_system(tools: Path, out: Path) -> None:
    """Loaders for a machine's own disk."""
    (out / LOADER_SHIM).parent.mkdir(parents=True)
    shutil.copyfile(tools / GRUB / "i386-pc/boot.img", out / LOADER_BOOT_IMG)
    _mkimage(tools, "i386-pc", DISK_PREFIX_BIOS, (*COMMON, *ON_BIOS), out / LOADER_CORE_IMG)
    _mkimage(tools, "i386-efi", DISK_PREFIX_EFI, (*COMMON, *ON_EFI), out / LOADER_IA32)
    shutil.copyfile(tools / SIGNED / "grubx64.efi.signed", out / LOADER_GRUB)
    shutil.copyfile(tools / SHIM / "shimx64.efi.signed", out / LOADER_SHIM)
    shutil.copyfile(tools / SHIM / "mmx64.efi.signed", out / LOADER_MOK)
    for name in (LOADER_GRUB, LOADER_SHIM, LOADER_MOK):
        check_pe(out / name, X64, signed=True)
    check_pe(out / LOADER_IA32, IA32, signed=False)
    bios.boot_sector((out / LOADER_BOOT_IMG).read_bytes(), core_lba=2048, disk_sectors=2**20)
    bios.core_sectors((out / LOADER_CORE_IMG).read_bytes(), first_lba=2048)


def _make_live(tools: Path, out: Path) -> None:
    """Loaders that the station hands out over the network."""
    out.mkdir(parents=True)
    shutil.copyfile(tools / IPXE / "undionly.kpxe", out / "undionly.kpxe")
    shutil.copyfile(tools / IPXE / "ipxe.efi", out / "ipxe.efi")
    shutil.copyfile(tools / SIGNED / "grubnetx64.efi.signed", out / "grubx64.efi")
    shutil.copyfile(tools / SHIM / "shimx64.efi.signed", out / "shimx64.efi")
    shutil.copyfile(tools / SHIM / "mmx64.efi.signed", out / "mmx64.efi")
    _mkimage(tools, "i386-efi", NET_PREFIX, (*COMMON, *ON_EFI, *ON_NET), out / "bootia32.efi")
    _copy_memory_tests(tools / "boot", out)
    for name in ("grubx64.efi", "shimx64.efi", "mmx64.efi"):
        check_pe(out / name, X64, signed=True)
    check_pe(out / "bootia32.efi", IA32, signed=False)
    if (out / "undionly.kpxe").stat().st_size < 10_000:
        raise ProofMissingError("undionly.kpxe is not iPXE.")


def _copy_memory_tests(source: Path, out: Path) -> None:
    """memtest86+ for each firmware. Raises ProofMissingError when a file is something else."""
    for name, ours in MEMORY_TESTS.items():
        shutil.copyfile(source / name, out / ours)
        if (out / ours).read_bytes()[0x202:0x206] != b"HdrS":  # Linux/x86 boot protocol
            raise ProofMissingError(f"{name} is not what a loader can start.")
    check_pe(out / "memtest64.efi", X64, signed=False)
    check_pe(out / "memtest32.efi", IA32, signed=False)


def _mkimage(tools: Path, form: str, prefix: str, modules: Sequence[str], out: Path) -> None:
    inside = "tmp/image"
    run_inside(
        tools, "grub-mkimage", "-O", form, "-p", prefix, "-o", f"/{inside}", *sorted(modules),
        timeout_s=MAKE_S,
    )  # fmt: skip
    (tools / inside).rename(out)
