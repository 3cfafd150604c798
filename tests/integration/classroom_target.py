"""A stand-in for an installed machine: a real trixie with systemd and sshd, in namespaces.

It has what the configuration and its checks care about: the release's squashfs below an overlay,
`/home` on a `state` file system beside it, systemd as process 1, sshd with keys of its own. It
has not what only firmware and a kernel of its own can show; the virtual classroom does that.
It may not set the clock, because that clock would be ours.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import itertools
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from provisioner.run import run

PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "python3", "sudo",
    "locales", "console-setup", "keyboard-configuration", "kbd", "tzdata", "systemd-timesyncd",
    "iproute2", "e2fsprogs", "openssl",
    # with which a machine configures itself
    "ansible-core", "python3-pydantic", "python3-cryptography", "python3-urllib3",
    # what only some schools ask for; a desktop is too much, and stands in as files
    "cups", "cups-client", "cups-filters", "iwd", "kiwix-tools", "libqca-qt6-plugins", "polkitd",
    "pkexec", "systemd-resolved", "veyon-service", "veyon-plugins",
)  # fmt: skip
LOCALES = r"printf 'en_US.UTF-8 UTF-8\nzh_CN.UTF-8 UTF-8\n' > $1/etc/locale.gen"
# Programs of a desktop whose settings are files: that they are there is all that is asked of them.
STAND_INS = (
    "for name in fcitx5 lightdm orca brltty onboard; do"
    " printf '#!/bin/sh\\n' > $1/usr/local/bin/$name; chmod 755 $1/usr/local/bin/$name; done"
)
RELEASE = "lab@2026.1"
_NUMBERS = itertools.count()
BUILD_TIMEOUT_S = 1200.0
BOOT_TIMEOUT_S = 180.0
SHORT_S = 30.0
AGENT_STUB = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"

# Runs as root in fresh mount, process, host name and control group namespaces: $1 holds the disk's
# two file systems and the kernel's command line, $2 is the release. Mounts are made where the
# release's own initramfs makes them. setpriv takes away the right to set the clock. $3 is not empty
# where system extensions are merged.
BOOT_SCRIPT = """
set -eu
disk=$1 release=$2
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
cd /run
mkdir -p classroom/system classroom/state classroom/release root
mount --bind "$disk/system" classroom/system
mount -t ext4 -o loop,noatime "$disk/state.ext4" classroom/state
mount -t squashfs -o loop,ro "/run/classroom/system/releases/$release/system.squashfs" \\
  /run/classroom/release
over="/run/classroom/state/overlays/$release"
mount -t overlay -o "lowerdir=/run/classroom/release,upperdir=$over/upper,workdir=$over/work" \\
  overlay root
mount --bind classroom/state/home root/home
mount -t proc proc root/proc
mount --bind "$disk/cmdline" root/proc/cmdline
mount -t sysfs -o ro sysfs root/sys
mount -t cgroup2 cgroup2 root/sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs root/dev
for node in null zero full random urandom tty loop-control; do
  : > root/dev/$node
  mount --bind /dev/$node root/dev/$node
done
for loop in /sys/block/loop*; do
  node=${loop##*/}
  : > root/dev/$node
  mount --bind /dev/$node root/dev/$node
done
mkdir root/dev/pts root/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts root/dev/pts
ln -s pts/ptmx root/dev/ptmx
ln -s /proc/self/fd root/dev/fd
mount -t tmpfs -o mode=755 tmpfs root/run
mkdir root/run/classroom root/run/before
mount --rbind classroom root/run/classroom
cd root
pivot_root . run/before
umount -l /run/before
rmdir /run/before
[ -z "$3" ] || mount --make-rshared /  # as systemd does where it is not in a container
exec env -i container=classroom-test PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=linux \\
  setpriv --bounding-set -sys_time,-sys_module,-sys_boot --inh-caps -all \\
  /sbin/init --show-status=false
"""


@dataclass(frozen=True)
class Target:
    """Where the machine listens, and the files that prove who it and we are."""

    address: str
    station: str
    ssh_key: Path
    known_hosts: Path
    host_key: str
    release: str = RELEASE
    group: str = ""  # its control group, below that of the computer

    def shell(self, command: str) -> str:
        """What a command on the machine writes; raises CommandError when it fails."""
        pinned = ("-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "StrictHostKeyChecking=yes")
        words = ["ssh", "-F", "none", "-i", str(self.ssh_key), *pinned]
        return run([*words, f"root@{self.address}", command], timeout_s=SHORT_S).stdout


@dataclass(frozen=True)
class Wire:
    """A bridge that several machines hang on, and the address of one of them."""

    bridge: str
    station: str
    address: str
    prefix: int = 24


def system_squashfs(cache: Path, packages: tuple[str, ...] = PACKAGES) -> Path:
    """A trixie system image with these packages; built once with mmdebstrap, kept in `cache`."""
    digest = hashlib.sha256(f"{packages} {LOCALES} {STAND_INS}".encode()).hexdigest()[:16]
    image = cache / f"classroom-target-{digest}.squashfs"
    if not image.exists():
        cache.mkdir(parents=True, exist_ok=True)
        tree, part = image.with_suffix(".tree"), image.with_suffix(".part")
        shutil.rmtree(tree, ignore_errors=True)
        run(
            ["mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}",
             "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
             f"--customize-hook={LOCALES}", "--customize-hook=chroot $1 locale-gen",
             f"--customize-hook={STAND_INS}",
             "trixie", tree],
            timeout_s=BUILD_TIMEOUT_S,
        )  # fmt: skip
        run(["mksquashfs", tree, part, "-comp", "zstd", "-quiet", "-no-progress", "-noappend"],
            timeout_s=BUILD_TIMEOUT_S)  # fmt: skip
        shutil.rmtree(tree)
        part.rename(image)
    return image


@contextlib.contextmanager
def booted(
    squashfs: Path, folder: Path, wire: Wire | None = None,
    prepare: Callable[[Path], None] | None = None,
) -> Iterator[Target]:  # fmt: skip
    """A running machine that has `squashfs` as its system; gone without a trace afterwards.

    Another time with the same `folder`, the same machine starts again. It hangs on a wire of its
    own, or on `wire`. `prepare` writes into its state file system before it starts first.
    """
    number = next(_NUMBERS)
    # Link-local, by process and number, so that two test runs do not meet.
    network = f"169.254.{os.getpid() % 250 + 1}"
    first = 4 * (number % 60)
    ends = (f"{network}.{first + 1}", f"{network}.{first + 2}")
    if wire:
        ends = (wire.station, wire.address)
    is_imaged = (folder / "system").exists()
    target = _again(folder) if is_imaged else _imaged(squashfs, folder, *ends, prepare=prepare)
    with contextlib.ExitStack() as stack:
        namespace = _network(number, target, stack, wire)
        group = _boot(folder, namespace, stack, shared=wire is not None)
        _wait_for_ssh(target.address)
        yield replace(target, station=ends[0], group=str(group))


def _imaged(squashfs: Path, folder: Path, station: str, address: str,
            prepare: Callable[[Path], None] | None = None) -> Target:  # fmt: skip
    """What imaging leaves: the release, and a state file system with keys and an agent in it."""
    system = folder / "system/releases" / RELEASE / "system.squashfs"
    system.parent.mkdir(parents=True)
    try:
        system.hardlink_to(squashfs)
    except OSError:  # another file system
        shutil.copyfile(squashfs, system)
    overlay = folder / "state/overlays" / RELEASE
    etc = overlay / "upper/etc"
    for part in (overlay / "work", etc / "ssh", etc / "classroom", etc / "systemd/system",
                 overlay / "upper/root/.ssh", folder / "state/home"):  # fmt: skip
        part.mkdir(parents=True)
    key, own = folder / "station_key", etc / "ssh/ssh_host_ed25519_key"
    for path in (key, own):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path],
            timeout_s=SHORT_S)  # fmt: skip
    shutil.copyfile(f"{key}.pub", overlay / "upper/root/.ssh/authorized_keys")
    for secret in (overlay / "upper/root", overlay / "upper/root/.ssh"):
        secret.chmod(0o700)
    host_key = Path(f"{own}.pub").read_text().strip()
    _agent_stub(etc / "systemd/system")
    if prepare:
        prepare(folder / "state")
    (folder / "cmdline").write_text(f"boot=classroom release={RELEASE} quiet\n")
    (folder / "known_hosts").write_text(f"{address} {host_key}\n")
    run(["mkfs.ext4", "-q", "-L", "state", "-d", folder / "state", folder / "state.ext4", "512M"],
        timeout_s=SHORT_S)  # fmt: skip
    return Target(address, station, key, folder / "known_hosts", host_key)


def _again(folder: Path) -> Target:
    """The machine that was imaged in this folder, at its address."""
    known = folder / "known_hosts"
    address, _, host_key = known.read_text().strip().partition(" ")
    station = str(ipaddress.ip_address(address) - 1)
    return Target(address, station, folder / "station_key", known, host_key)


def _agent_stub(units: Path) -> None:
    """The agent of this machine does nothing; that it runs is what its check asks."""
    unit = units / "classroom-agent.service"
    unit.write_text(AGENT_STUB)
    (units / "multi-user.target.wants").mkdir()
    (units / "multi-user.target.wants" / unit.name).symlink_to(f"/etc/systemd/system/{unit.name}")


def _network(
    number: int, target: Target, stack: contextlib.ExitStack, wire: Wire | None
) -> str:  # fmt: skip
    """A network namespace for the machine, on a wire of its own to us or on one with others."""
    name, ours, theirs = f"cpt-{os.getpid()}-{number}", f"cpt{os.getpid()}n{number}", "eth0"
    run(["ip", "netns", "add", name], timeout_s=SHORT_S)
    stack.callback(run, ["ip", "netns", "del", name], timeout_s=SHORT_S, check=False)
    run(["ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name],
        timeout_s=SHORT_S)  # fmt: skip
    stack.callback(run, ["ip", "link", "del", ours], timeout_s=SHORT_S, check=False)
    prefix = wire.prefix if wire else 30
    end = ["link", "set", ours, "master", wire.bridge] if wire else [
        "addr", "add", f"{target.station}/{prefix}", "dev", ours]  # fmt: skip
    for words in (
        end,
        ["link", "set", ours, "up"],
        ["-n", name, "addr", "add", f"{target.address}/{prefix}", "brd", "+", "dev", theirs],
        ["-n", name, "link", "set", theirs, "up"],
        ["-n", name, "link", "set", "lo", "up"],
    ):
        run(["ip", *words], timeout_s=SHORT_S)
    return name


def _boot(
    folder: Path, namespace: str, stack: contextlib.ExitStack, *, shared: bool
) -> Path:  # fmt: skip
    group = Path("/sys/fs/cgroup")
    group = (group / "unified" if (group / "unified").is_dir() else group) / namespace
    group.mkdir()
    stack.callback(_end_group, group)
    join = 'echo 0 > "$1/cgroup.procs"; shift; exec "$@"'
    words = ["sh", "-c", join, "sh", str(group), "nsenter", f"--net=/run/netns/{namespace}",
             "unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child",
             "sh", "-c", BOOT_SCRIPT, "sh", str(folder), RELEASE,
             "shared" if shared else ""]  # fmt: skip
    with (folder / "boot.log").open("wb") as log:
        init = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    stack.callback(_end, init)
    return group


def _end(init: subprocess.Popen[bytes]) -> None:
    """Ends `unshare`; --kill-child takes the machine's process 1, and so all of it, along."""
    init.kill()
    init.wait(SHORT_S)


def _end_group(group: Path) -> None:
    deadline = time.monotonic() + SHORT_S
    while "populated 1" in (group / "cgroup.events").read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    for path in sorted(group.rglob("*/"), reverse=True):
        if path.is_dir():
            path.rmdir()
    group.rmdir()


def _wait_for_ssh(address: str) -> None:
    deadline = time.monotonic() + BOOT_TIMEOUT_S
    while True:
        try:
            with socket.create_connection((address, 22), timeout=2) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)
