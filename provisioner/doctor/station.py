"""The station itself: rights, programs, room, clock, and whether there is something to boot."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import provisioner
from provisioner.doctor.finding import Level, Observation, Said
from provisioner.errors import ProvisionerError
from provisioner.release.catalog import Catalog
from provisioner.settings import Settings

GB = 10**9
# A release is under 3 GB with everything that is built on the way; a few shall fit beside it.
STATE_FAIL_BYTES, STATE_WARN_BYTES = 2 * GB, 10 * GB
# A build unpacks one tree (about 6 GB for a full desktop) beside the downloaded packages.
CACHE_FAIL_BYTES, CACHE_WARN_BYTES = 4 * GB, 12 * GB
CLOCK_AHEAD_S = 20 * 365 * 24 * 3600.0

# Program, and the Debian package that it comes in.
NEEDED = {
    "dnsmasq": "dnsmasq-base",
    "chronyd": "chrony",
    "ip": "iproute2",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "mmdebstrap": "mmdebstrap",
    "mksquashfs": "squashfs-tools",
    "zstd": "zstd",
}
NEEDED_FOR_LAB = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
}
Find = Callable[[str], str | None]


def rights() -> Observation:
    """Only root may answer DHCP, use low ports and build releases."""
    root = os.geteuid() == 0
    return Observation(
        "rights",
        Level.OK if root else Level.FAIL,
        Said("Rights", "权限"),
        Said("root", "root") if root else Said("an ordinary user", "普通用户"),
        Said("Run it as root: sudo provisioner …", "请以 root 身份运行:sudo provisioner …"),
    )


def programs(find: Find = shutil.which) -> list[Observation]:
    """Programs that are called, and the packages of those that are missing."""
    return [
        _programs("programs", NEEDED, Level.FAIL, Said("Programs", "所需程序"), find),
        _programs("lab-programs", NEEDED_FOR_LAB, Level.WARN,
                  Said("Programs for “make lab”", "“make lab” 所需程序"), find),
    ]  # fmt: skip


def _programs(
    name: str, wanted: dict[str, str], missing_is: Level, what: Said, find: Find
) -> Observation:
    missing = [program for program in wanted if not (find(program) or find(f"/usr/sbin/{program}"))]
    if not missing:
        return Observation(name, Level.OK, what, Said("all installed", "均已安装"))
    words = ", ".join(missing)
    packages = " ".join(sorted({wanted[program] for program in missing}))
    return Observation(
        name,
        missing_is,
        what,
        Said(f"missing: {words}", f"缺少:{words}"),
        Said(f"Run: apt-get install {packages}", f"请运行:apt-get install {packages}"),
    )


def disk_space(settings: Settings) -> list[Observation]:
    """Room for the state (releases, database) and for the cache (builds)."""
    return [
        room("state-space", settings.state_dir, STATE_FAIL_BYTES, STATE_WARN_BYTES),
        room("cache-space", settings.cache_dir, CACHE_FAIL_BYTES, CACHE_WARN_BYTES),
    ]


def room(name: str, folder: Path, fail_bytes: int, warn_bytes: int) -> Observation:
    """Free bytes where `folder` is or will be."""
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(place).free
    level = Level.FAIL if free < fail_bytes else Level.WARN if free < warn_bytes else Level.OK
    amount = f"{free / GB:.1f} GB"
    return Observation(
        name,
        level,
        Said(f"Room in {folder}", f"{folder} 的可用空间"),
        Said(f"{amount} free", f"剩余 {amount}"),
        Said(
            f"Free some space: {warn_bytes // GB} GB are comfortable. Old releases and the cache "
            "may be removed.",
            f"请清理空间:建议至少 {warn_bytes // GB} GB。旧的发布版本和缓存可以删除。",
        ),
    )


def clock(now: float | None = None, installed: float | None = None) -> Observation:
    """The machines take their time from us: it must not be before this program was installed."""
    now = time.time() if now is None else now
    if installed is None:
        installed = Path(provisioner.__file__).stat().st_mtime
    wrong = not installed - 24 * 3600 <= now <= installed + CLOCK_AHEAD_S
    shown = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Observation(
        "clock",
        Level.FAIL if wrong else Level.OK,
        Said("Clock", "时钟"),
        Said(shown, shown),
        Said(
            "Set the clock: timedatectl set-time 'YYYY-MM-DD HH:MM'. If it is wrong after each "
            "start, replace the battery on the board.",
            "请校准时钟:timedatectl set-time 'YYYY-MM-DD HH:MM'。如果每次开机都不对,"
            "请更换主板电池。",
        ),
    )


def live_release(settings: Settings) -> Observation:
    """Whether there is a live environment that machines can boot."""
    what = Said("Live environment", "临时系统")
    try:
        found = Catalog(settings.releases_dir).get("live").id
    except (ProvisionerError, OSError):
        return Observation(
            "live-release",
            Level.WARN,
            what,
            Said("none is built yet", "尚未构建"),
            Said("Run: provisioner image build live", "请运行:provisioner image build live"),
        )
    return Observation("live-release", Level.OK, what, Said(found, found))


def virtual_machines() -> Observation:
    """`make lab` emulates its PCs, so that it runs everywhere; nothing to mend."""
    return Observation(
        "virtual-machines",
        Level.OK,
        Said("Virtual PCs", "虚拟电脑"),
        Said("emulated; no KVM is needed, a run takes minutes", "软件模拟,无需 KVM;运行需数分钟"),
    )
