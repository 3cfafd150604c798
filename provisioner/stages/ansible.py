"""The one way to run a playbook: ansible-runner behind a small function.

`run_play()` makes a private folder for the run, starts ansible-playbook with pinned host keys and
nothing taken from the surroundings, reports each task as it begins, and returns what Ansible
counted per machine. What that is worth is judged by `unproved()`: an exit code of 0 is never
enough.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner

from provisioner import yaml_file
from provisioner.errors import CommandError, ConfigError, UnreachableError, UntrustedError
from provisioner.model.base import Model
from provisioner.model.school import SeatedMachine
from provisioner.run import run

DEFAULT_SSH_PORT = 22
CONTROL_PERSIST_S = 60
CLOSE_TIMEOUT_S = 10.0
MAX_MESSAGE = 2000
# What ansible-runner reports for the ways in which a task can end badly.
FAILURES = frozenset({"runner_on_failed", "runner_on_unreachable", "runner_on_async_failed"})

_HOST_KEY = re.compile(
    r"^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp256) [A-Za-z0-9+/]{40,}={0,3}(?= |$)"
)

Report = Callable[[str, float], None]


class HostRecap(Model):
    """What Ansible counted for one machine, and the first task that failed."""

    ok: int = 0
    changed: int = 0
    failed: int = 0
    unreachable: int = 0
    skipped: int = 0
    changed_tasks: tuple[str, ...] = ()
    failed_task: str = ""
    message: str = ""


class PlayRecap(Model):
    """What one run of a playbook came to."""

    hosts: dict[str, HostRecap]
    status: str
    return_code: int
    log: Path


@dataclass(frozen=True)
class SshAccess:
    """How machines are reached: the station's key, and the host keys that are theirs.

    `sockets` is a folder for shared connections, so that a second run needs no new handshake.
    """

    key: Path
    known_hosts: Path
    sockets: Path


@dataclass(frozen=True)
class Play:
    """A playbook, the inventory it runs on, and where its variables and secrets are."""

    playbook: Path
    inventory: Mapping[str, Any]
    group_vars: Path | None = None
    vault: Path | None = None
    vault_password: Path | None = None
    check: bool = False


def known_hosts_text(machine: SeatedMachine, keys: Sequence[str]) -> str:
    """The known_hosts file (sshd(8)) that pins a machine's own keys, `TYPE BASE64` each.

    Raises UntrustedError for a key of another form, and when there is none: without one, any
    machine on the wire could say that it is this one.
    """
    address = str(machine.address)
    name = address if machine.port == DEFAULT_SSH_PORT else f"[{address}]:{machine.port}"
    found = [_HOST_KEY.match(key) for key in keys]
    if not found or None in found:
        raise UntrustedError(
            f"{machine.asset_tag} has no SSH host key that we know.",
            "Image it again; imaging makes its keys and reports them.",
        )
    return "".join(f"{name} {match[0]}\n" for match in found if match)


@contextlib.contextmanager
def shared_connections(key: Path, known_hosts: Path) -> Iterator[SshAccess]:
    """SSH access whose connections stay open between runs and are all closed at the end.

    The folder is made under the system's temporary one: a socket's path holds 107 bytes at most.
    """
    with tempfile.TemporaryDirectory(prefix="cp-") as folder:
        access = SshAccess(key, known_hosts, Path(folder))
        try:
            yield access
        finally:
            for socket in access.sockets.iterdir():
                # One that does not end now ends by itself after CONTROL_PERSIST_S.
                with contextlib.suppress(CommandError):
                    run(["ssh", "-F", "none", "-S", socket, "-O", "exit", "machine"],
                        timeout_s=CLOSE_TIMEOUT_S, check=False)  # fmt: skip


def run_play(
    play: Play,
    folder: Path,
    *,
    access: SshAccess | None,
    timeout_s: float,
    report: Report = lambda step, fraction: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> PlayRecap:
    """Run a playbook once in the new or empty `folder`; `report` hears each task as it begins.

    Without `access` every machine of the inventory must have a local connection. Raises
    nothing for what goes wrong on a machine: that is in the recap.
    """
    _lay_out(play, folder)
    listener = _Listener(count_tasks(play.playbook), report)
    runner = ansible_runner.run(
        private_data_dir=str(folder),
        project_dir=str(play.playbook.parent),
        inventory=str(folder / "inventory"),
        binary="setpriv",
        cmdline=_command(play),
        envvars=_environment(play, folder, access),
        settings={"pexpect_timeout": 1, "suppress_ansible_output": True},
        ident="run",
        timeout=math.ceil(timeout_s),
        event_handler=listener,
        cancel_callback=cancelled,
        quiet=True,
    )
    if runner.status != "successful":
        _end_leftovers(folder)
    # It would keep the station's whole environment, which may hold an operator's secrets.
    (folder / "artifacts" / "run" / "command").unlink(missing_ok=True)
    return PlayRecap(
        hosts=listener.recap(),
        status=str(runner.status),
        return_code=int(runner.rc if runner.rc is not None else -1),
        log=folder / "artifacts" / "run" / "stdout",
    )


def _end_leftovers(folder: Path, proc: Path = Path("/proc")) -> None:
    """End what a run left behind that was itself ended: Ansible's workers have sessions of their
    own, outlive it, and would go on changing a machine that is configured anew meanwhile.

    They are known by the run's own home in their environment.
    """
    mark = f"ANSIBLE_HOME={folder / 'home'}".encode()
    for path in proc.glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)


def unproved(recap: PlayRecap, hosts: Sequence[str]) -> list[str]:
    """Reasons why a run did not do its work on `hosts`; an empty list is the only success."""
    reasons = []
    for host in hosts:
        found = recap.hosts.get(host)
        if found is None:
            reasons.append(f"Ansible ended ({recap.status}) without a word about {host}.")
        elif found.failed or found.unreachable:
            what = found.failed_task or ("the connection" if found.unreachable else "a task")
            reasons.append(f"On {host}, “{what}” failed: {found.message or 'no reason given'}")
        elif found.ok == 0:
            reasons.append(f"On {host}, Ansible carried out no task at all.")
    if recap.status != "successful" or recap.return_code != 0:
        reasons.append(f"Ansible ended as “{recap.status}” with exit code {recap.return_code}.")
    return reasons


def must_be_met(recap: PlayRecap, host: str) -> None:
    """Raises when Ansible did not get through to the machine: that says nothing about it.

    UntrustedError when another machine answered, UnreachableError when none did.
    """
    found = recap.hosts.get(host)
    if found is None or not found.unreachable:
        return
    if "host key verification failed" in found.message.lower():
        raise UntrustedError(
            f"Another machine answers than {host}: {found.message}",
            "Check which machine hangs on this cable; image it again if it is the right one.",
        )
    raise UnreachableError(
        f"{host} cannot be reached: {found.message}",
        "Check that it is switched on, has started, and hangs on the network.",
    )


def count_tasks(playbook: Path) -> int:
    """How many tasks the roles of a playbook hold, for showing progress; handlers excluded."""
    plays, _ = yaml_file.load_plain(playbook)
    total = 0
    for play in plays if isinstance(plays, list) else []:
        total += len(play.get("tasks") or ())
        for role in play.get("roles") or ():
            name = role["role"] if isinstance(role, dict) else role
            tasks, _ = yaml_file.load_plain(playbook.parent / f"roles/{name}/tasks/main.yml")
            total += len(tasks)
    return total


class _Listener:
    """Hears ansible-runner's events as they come, and keeps what the recap needs."""

    def __init__(self, tasks: int, report: Report) -> None:
        self._tasks, self._report = max(tasks, 1), report
        self._begun = 0
        self._stats: dict[str, dict[str, int]] = {}
        self._changed: dict[str, list[str]] = {}
        self._first_failure: dict[str, tuple[str, str]] = {}

    def __call__(self, event: dict[str, Any]) -> bool:
        kind, data = event.get("event", ""), event.get("event_data", {})
        if kind == "playbook_on_task_start":
            self._begun += 1
            number = f"{self._begun}/{self._tasks} " if self._begun <= self._tasks else ""
            done = min(self._begun - 1, self._tasks) / self._tasks  # handlers come on top
            self._report(f"{number}{data.get('task', '')}", done)
        elif kind == "playbook_on_stats":
            self._stats = {
                name: data.get(name) or {}
                for name in ("ok", "changed", "failures", "dark", "skipped", "processed")
            }
        elif kind in FAILURES and not data.get("ignore_errors"):
            self._first_failure.setdefault(data.get("host", ""), _failure(data))
        elif kind == "runner_on_ok" and (data.get("res") or {}).get("changed"):
            self._changed.setdefault(data.get("host", ""), []).append(str(data.get("task", "")))
        return True

    def recap(self) -> dict[str, HostRecap]:
        return {host: self._recap_of(host) for host in self._stats.get("processed", {})}

    def _recap_of(self, host: str) -> HostRecap:
        task, message = self._first_failure.get(host, ("", ""))
        return HostRecap(
            ok=self._stats["ok"].get(host, 0),
            changed=self._stats["changed"].get(host, 0),
            failed=self._stats["failures"].get(host, 0),
            unreachable=self._stats["dark"].get(host, 0),
            skipped=self._stats["skipped"].get(host, 0),
            changed_tasks=tuple(self._changed.get(host, ())),
            failed_task=task,
            message=message,
        )


def _failure(data: Mapping[str, Any]) -> tuple[str, str]:
    """The task's name and what it said, without control characters."""
    result = data.get("res") or {}
    said = ("msg", "stderr", "stdout", "module_stderr", "module_stdout")
    words = [str(result.get(key)) for key in said if result.get(key)]
    text = "".join(char if char.isprintable() else " " for char in " ".join(words))
    return str(data.get("task", "")), text[:MAX_MESSAGE]


def _lay_out(play: Play, folder: Path) -> None:
    """The run's own inventory folder: hosts, the school's group_vars, its encrypted vault."""
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"The folder {folder} of an earlier run is not empty.")
    inventory = folder / "inventory"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    inventory.mkdir()
    (inventory / "hosts.json").write_text(json.dumps(play.inventory, indent=1), encoding="utf-8")
    everyone = inventory / "group_vars" / "all"
    everyone.mkdir(parents=True)
    for source in sorted(play.group_vars.glob("*.yml")) if play.group_vars else ():
        target = inventory / "group_vars" / source.stem / "school.yml"
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, target)
    if play.vault:
        shutil.copyfile(play.vault, everyone / "vault.yml")


def _command(play: Play) -> str:
    """ansible-playbook from our own environment, killed by the kernel when the station is."""
    program = Path(sys.executable).with_name("ansible-playbook")
    words = ["--pdeathsig", "KILL", "--", sys.executable, str(program)]
    if play.check:
        words.append("--check")
    if play.vault_password:
        words += ["--vault-password-file", str(play.vault_password)]
    return shlex.join([*words, str(play.playbook)])


def _environment(play: Play, folder: Path, access: SshAccess | None) -> dict[str, str]:
    """All that Ansible would otherwise take from the user's home or the working directory."""
    home = folder / "home"
    home.mkdir()
    names = {
        "ANSIBLE_CONFIG": str(play.playbook.parent / "ansible.cfg"),
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_LOCAL_TEMP": str(home / "tmp"),
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }
    if access is None:
        return names
    options = {
        "UserKnownHostsFile": access.known_hosts,
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "IdentitiesOnly": "yes",
        "PasswordAuthentication": "no",
        "ControlMaster": "auto",
        "ControlPersist": f"{CONTROL_PERSIST_S}s",
        "ServerAliveInterval": 15,
        "ServerAliveCountMax": 8,  # two minutes: an old PC may stall that long on its disk
    }
    words = " ".join(f"-o {name}={shlex.quote(str(value))}" for name, value in options.items())
    return {
        **names,
        "ANSIBLE_PRIVATE_KEY_FILE": str(access.key),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(access.sockets),
        "ANSIBLE_SSH_ARGS": f"-F none {words}",
    }
