"""The same system image, run natively: for what emulation is too slow for.

Its squashfs is the root of namespaces of its own (processes, mounts, network, IPC), with a
writable layer in memory; the screen is an Xvfb outside, reached by its socket. The pupil's session
is started as the login screen starts it, by another hand than LightDM's. What needs a kernel of
its own (start, drivers, systemd, zram, AppArmor) is not tested here but under QEMU.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pytest
from PIL import Image, ImageGrab

PUPIL = 2001
NATIVELY = [
    pytest.mark.vm,
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root"),
    pytest.mark.skipif(
        not (shutil.which("Xvfb") and shutil.which("xdotool")), reason="needs Xvfb and xdotool"
    ),
]
BOX = """\
set -e
work="$1" image="$2" sockets="$3"
mount --make-rprivate /
mount -t tmpfs tmpfs "$work"
mkdir -p "$work/lower" "$work/rw/upper" "$work/rw/work" "$work/root"
mount -t squashfs -o loop,ro "$image" "$work/lower"
mount -t overlay -o "lowerdir=$work/lower,upperdir=$work/rw/upper,workdir=$work/rw/work" \
    overlay "$work/root"
cd "$work/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs dev
mknod -m 666 dev/null c 1 3; mknod -m 666 dev/zero c 1 5; mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8; mknod -m 666 dev/urandom c 1 9; mknod -m 666 dev/tty c 5 0
ln -s /proc/self/fd dev/fd
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mkdir tmp/.X11-unix
mount --bind "$sockets" tmp/.X11-unix
ip link set lo up
mkdir run/outside
pivot_root . run/outside  # a chroot would not do: Chromium's sandbox is refused in one
exec /bin/sh -c "umount -l /run/outside; $4"
"""
REMOTE = "[Seat:*]\\ntype=xremote\\nxserver-hostname=\\nxserver-display-number=%s\\n"
REMOTE_CONF = "/etc/lightdm/lightdm.conf.d/99-our-screen.conf"
INSIDE = """\
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
echo school > /etc/hostname; hostname school
getent passwd 2001 >/dev/null || useradd --uid 2001 --create-home --shell /bin/bash pupil
rm -f /etc/machine-id; dbus-uuidgen --ensure=/etc/machine-id
mkdir -p /run/dbus /run/user/2001 /run/lock; mkdir -m 1777 /tmp/.ICE-unix
chown 2001:2001 /run/user/2001; chmod 700 /run/user/2001
dbus-daemon --system --fork
echo ready > /run/ready
exec sleep infinity
"""


@dataclass(frozen=True)
class Process:
    """A process inside, as its own /proc has it; memory in KiB, shared pages divided (PSS)."""

    pid: int
    uid: int
    name: str
    pss_kib: int


class NativeImage:
    """A system image running in a box; a context manager that leaves nothing behind."""

    def __init__(self, image: Path, work: Path, display: int, size: str = "1024x768") -> None:
        self._image, self._work, self._display, self._size = image, work, display, size
        self._processes: list[subprocess.Popen[bytes]] = []
        self._box = 0

    def __enter__(self) -> NativeImage:
        try:
            self._open()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _open(self) -> None:
        self._work.mkdir(parents=True, exist_ok=True)
        screen = ["Xvfb", f":{self._display}", "-screen", "0", f"{self._size}x24", "-ac",
                  "-nolisten", "tcp"]  # fmt: skip
        self._start(screen)
        wait_for(Path(f"/tmp/.X11-unix/X{self._display}").exists, 30, "Xvfb")
        box = self._start([
            "unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child",
            "sh", "-c", BOX, "box", str(self._work), str(self._image), "/tmp/.X11-unix", INSIDE,
        ])  # fmt: skip
        wait_for(lambda: self._find(box.pid), 60, "the box")
        wait_for(lambda: self.run(["test", "-e", "/run/dbus/system_bus_socket"]).returncode == 0,
                 60, "D-Bus")  # fmt: skip

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM if process is self._processes[0] else signal.SIGKILL)
            process.wait(30)
        shutil.rmtree(self._work, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The first process inside, as seen from outside."""
        return self._box

    def run(self, command: list[str], timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as root, to its end."""
        return subprocess.run(
            [*self._inside(), *command], capture_output=True, text=True, timeout=timeout_s,
            env=self._environment("root"), check=False,
        )  # fmt: skip

    def as_pupil(self, command: list[str]) -> list[str]:
        """The command line that runs `command` inside, as the pupil, on the screen."""
        environment = self._session_environment() or self._environment("pupil")
        return self._as(PUPIL, environment, ["--chdir=/home/pupil", *command])

    def as_root(self, command: list[str]) -> list[str]:
        """The command line that runs `command` inside, as the system's own services are run."""
        words = [f"{name}={value}" for name, value in self._environment("root").items()]
        return [*self._inside(), "env", "--ignore-environment", *words, *command]

    def beside(self, name: str, command: list[str]) -> list[str]:
        """The command line that runs `command` as the program `name` was: its user, its world."""
        found = next(process for process in self.processes() if process.name == name)
        return self._as(found.uid, self._environment_of(found), ["--chdir=/", *command])

    def _as(self, uid: int, environment: dict[str, str], command: list[str]) -> list[str]:
        words = [f"{name}={value}" for name, value in environment.items()]
        return [*self._inside(), "setpriv", "--reuid", str(uid), "--regid", str(uid),
                "--clear-groups", "--no-new-privs", "env", "--ignore-environment", *words,
                *command]  # fmt: skip

    def start(self, command: list[str], log: Path) -> subprocess.Popen[bytes]:
        """Start a command inside, as the pupil; its output goes to `log`."""
        return self.start_as(self.as_pupil(command), log)

    def start_as(self, command: list[str], log: Path) -> subprocess.Popen[bytes]:
        """Start what `as_pupil` or `beside` gave; its output goes to `log`."""
        with log.open("wb") as out:
            return self._start(command, out.fileno())

    def login_screen(self, log: Path) -> None:
        """Start LightDM as its unit does, on our screen instead of one of its own.

        It asks PAM, shows the image's own greeter, and starts the session of who is chosen.
        """
        for words in (
            ["useradd", "--uid", "2000", "--create-home", "--comment", "老师", "teacher"],
            ["usermod", "--comment", "学生", "pupil"],
            ["sh", "-c", f"printf '{REMOTE}' {self._display} > {REMOTE_CONF}"],
            ["/usr/lib/classroom/greet"],
        ):
            done = self.run(words)
            assert done.returncode == 0, (words, done.stderr)
        environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=zh_CN.UTF-8"]
        with log.open("wb") as out:
            self._start([*self._inside(), "env", "-i", *environment, "lightdm"], out.fileno())

    def press(self, *keys: str) -> None:
        """Press keys one after the other, as a child does, by X's names for them."""
        for key in keys:
            subprocess.run(["xdotool", "key", key], env={"DISPLAY": f":{self._display}"},
                           check=True, timeout=60)  # fmt: skip
            time.sleep(0.5)

    def windows(self, kind: str) -> int:
        """How many windows of a program (X's class) are to be seen."""
        told = subprocess.run(
            ["xdotool", "search", "--onlyvisible", "--class", kind],
            env={"DISPLAY": f":{self._display}"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return len(told.stdout.split())

    def session(self, log: Path, kind: str = "") -> None:
        """Start the pupil's session; `kind` is full, light, or by itself."""
        choice = [f"CLASSROOM_SESSION={kind}"] if kind else []
        self.start(["env", *choice, "/etc/X11/Xsession", "/usr/lib/classroom/session"], log)

    def ask_as_pupil(self, command: list[str], timeout_s: float = 120) -> str:
        """Run a command inside, as the pupil, to its end; what it printed."""
        return subprocess.run(
            self.as_pupil(command), capture_output=True, text=True, timeout=timeout_s, check=True
        ).stdout  # fmt: skip

    def path(self, inside: str) -> Path:
        """Where a file of the box is seen from outside."""
        return Path(f"/proc/{self._box}/root{inside}")

    def give(self, file: Path, name: str) -> str:
        """Put a file into the pupil's folder; its path inside."""
        target = f"/home/pupil/{name}"
        place = self.path(target)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.read_bytes())
        for path in (place, place.parent):
            os.chown(path, PUPIL, PUPIL)
        return target

    def end(self, name: str) -> None:
        """End the pupil's programs of this name, and wait until they are gone."""
        self.run(["pkill", "--uid", str(PUPIL), name])
        wait_for(lambda: not self.runs(name), 60, f"the end of {name}")

    def runs(self, name: str) -> bool:
        """Whether the pupil's session has a program of this name."""
        return any(p.name == name and p.uid == PUPIL for p in self.processes())

    def answers(self, port: int) -> bool:
        """Whether something inside accepts connections at 127.0.0.1:`port`."""
        return f"127.0.0.1:{port} " in self.listening()

    def processes(self) -> list[Process]:
        """Everything that runs inside, the largest first."""
        root = Path(f"/proc/{self._box}/root/proc")
        found = (_process(path) for path in root.iterdir() if path.name.isdigit())
        return sorted((p for p in found if p), key=lambda process: -process.pss_kib)

    def memory_mib(self) -> float:
        """What the pupil's session uses, in MiB: the sum of its processes' PSS."""
        return sum(p.pss_kib for p in self.processes() if p.uid == PUPIL) / 1024

    def picture(self) -> Image.Image:
        """What is on the screen now."""
        return ImageGrab.grab(xdisplay=f":{self._display}")

    def listening(self) -> str:
        """Ports that something inside listens on, as `ss` tells it; empty for none."""
        return subprocess.run(
            ["nsenter", f"--net=/proc/{self._box}/ns/net", "ss", "-Hlntup"],
            capture_output=True, text=True, timeout=30, check=True,
        ).stdout  # fmt: skip

    def _start(self, command: list[str], out: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
        self._processes.append(process)
        return process

    def _find(self, parent: int) -> bool:
        """The first process inside, once it has its root."""
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        if not children or not Path(f"/proc/{children[0]}/root/run/ready").exists():
            return False
        self._box = int(children[0])
        return True

    def _inside(self) -> list[str]:
        return ["nsenter", f"--target={self._box}", "--mount", "--pid", "--net", "--ipc", "--uts",
                "--wdns=/"]  # fmt: skip

    def _session_environment(self) -> dict[str, str]:
        """That of the session on the screen, so that a program finds what its menu gives it."""
        for process in self.processes():
            if process.uid == PUPIL and process.name in ("xfce4-session", "icewm"):
                return self._environment_of(process)
        return {}

    def _environment_of(self, process: Process) -> dict[str, str]:
        path = Path(f"/proc/{self._box}/root/proc/{process.pid}/environ")
        pairs = os.fsdecode(path.read_bytes()).split("\0")
        return dict(pair.split("=", 1) for pair in pairs if "=" in pair)

    def _environment(self, user: str) -> dict[str, str]:
        home = f"/home/{user}" if user == "pupil" else "/root"
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/games:/usr/sbin:/sbin", "HOME": home,
            "USER": user, "LOGNAME": user, "LANG": "zh_CN.UTF-8", "SHELL": "/bin/bash",
            "DISPLAY": f":{self._display}", "XDG_RUNTIME_DIR": f"/run/user/{PUPIL}",
            "XDG_SESSION_TYPE": "x11", "XDG_SEAT": "seat0", "XDG_CURRENT_DESKTOP": "XFCE",
        }  # fmt: skip


def wait_for(done: object, timeout_s: float, what: str) -> None:
    """Call `done` until it says yes. Raises TimeoutError naming `what`."""
    assert callable(done)
    end = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come within {timeout_s:g} s")
        time.sleep(0.2)


def settled(image: NativeImage, quiet_s: float = 10, most_s: float = 240) -> float:
    """Wait until the session's memory has not changed by more than 2 MiB for a while; MiB."""
    end, last, since = time.monotonic() + most_s, 0.0, time.monotonic()
    while time.monotonic() < end:
        now = image.memory_mib()
        if abs(now - last) > 2:
            last, since = now, time.monotonic()
        elif now > 1 and time.monotonic() - since > quiet_s:
            break
        time.sleep(1)
    return image.memory_mib()


def _process(path: Path) -> Process | None:
    try:
        uid = (path / "status").read_text().split("Uid:")[1].split()[0]
        rollup = (path / "smaps_rollup").read_text()
        name = (path / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
    except (OSError, IndexError):
        return None
    return Process(int(path.name), int(uid), os.path.basename(name), _pss(rollup))  # noqa: PTH119


def _pss(rollup: str) -> int:
    lines: Iterator[str] = (line for line in rollup.splitlines() if line.startswith("Pss:"))
    return int(next(lines, "Pss: 0").split()[1])
