"""ansible-runner behind one function: what a run is worth, and what must never pass for success."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from provisioner.errors import ConfigError, UnreachableError, UntrustedError
from provisioner.model.school import SeatedMachine
from provisioner.stages.ansible import (
    HostRecap,
    Play,
    PlayRecap,
    _end_leftovers,
    _Listener,
    count_tasks,
    known_hosts_text,
    must_be_met,
    run_play,
    unproved,
)

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
TAG = "PC-0001"


def recap(host: HostRecap | None, status: str = "successful", code: int = 0) -> PlayRecap:
    return PlayRecap(
        hosts={TAG: host} if host else {}, status=status, return_code=code, log=Path("/dev/null")
    )


def test_a_good_run() -> None:
    assert unproved(recap(HostRecap(ok=3, changed=1)), [TAG]) == []


@pytest.mark.parametrize(
    "wrong",
    [
        recap(None),
        recap(HostRecap()),
        recap(HostRecap(skipped=12)),
        recap(HostRecap(ok=3, failed=1)),
        recap(HostRecap(ok=3, unreachable=1)),
        recap(HostRecap(ok=3), status="timeout"),
        recap(HostRecap(ok=3), status="canceled"),
        recap(HostRecap(ok=3), code=1),
    ],
)
def test_anything_else_is_no_proof(wrong: PlayRecap) -> None:
    assert unproved(wrong, [TAG])


def test_every_machine_counts() -> None:
    reasons = unproved(recap(HostRecap(ok=3)), [TAG, "PC-0002"])
    assert reasons == ["Ansible ended (successful) without a word about PC-0002."]


def test_who_answered() -> None:
    must_be_met(recap(HostRecap(ok=1, failed=1)), TAG)
    with pytest.raises(UnreachableError, match="No route to host"):
        must_be_met(recap(HostRecap(unreachable=1, message="No route to host")), TAG)
    with pytest.raises(UntrustedError, match="Another machine"):
        must_be_met(recap(HostRecap(unreachable=1, message="Host key verification failed.")), TAG)


@pytest.fixture
def play(tmp_path: Path) -> Play:
    playbook = tmp_path / "playbooks" / "play.yml"
    playbook.parent.mkdir()
    playbook.write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.debug: {msg: '{{ evil }}'}\n"
    )
    (playbook.parent / "ansible.cfg").write_text("[defaults]\n")
    evil = {"__ansible_unsafe": "{{ lookup('pipe', 'touch " + str(tmp_path / "owned") + "') }}"}
    host = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}
    return Play(playbook, {"all": {"hosts": {TAG: {**host, "evil": evil}}}})


def test_a_tool_that_does_nothing_proves_nothing(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    (stubs / "setpriv").write_text("#!/bin/sh\nexit 0\n")
    (stubs / "setpriv").chmod(0o755)
    monkeypatch.setenv("PATH", str(stubs))
    result = run_play(play, tmp_path / "run", access=None, timeout_s=30)
    assert (result.status, result.return_code) == ("successful", 0)
    assert unproved(result, [TAG]) == [f"Ansible ended (successful) without a word about {TAG}."]


def test_values_are_never_evaluated(play: Play, tmp_path: Path) -> None:
    result = run_play(play, tmp_path / "run", access=None, timeout_s=60)
    assert unproved(result, [TAG]) == []
    assert "{{ lookup(" in result.log.read_text()
    assert not (tmp_path / "owned").exists()
    assert not list((tmp_path / "run").rglob("command")), "the environment stays on disk"


KEY = "ssh-ed25519 " + "A" * 68


def test_pinned_keys() -> None:
    machine = SeatedMachine(asset_tag=TAG, seat=1, address="10.77.0.9")
    assert known_hosts_text(machine, [f"{KEY} root@x"]) == f"10.77.0.9 {KEY}\n"
    odd = machine.model_copy(update={"port": 2222})
    assert known_hosts_text(odd, [KEY, KEY]) == f"[10.77.0.9]:2222 {KEY}\n" * 2


@pytest.mark.parametrize(
    "keys", [[], [""], [KEY, "x"], [f"a\n* {KEY}"], [f"@cert-authority {KEY}"]]
)
def test_a_key_of_another_form_is_refused(keys: list[str]) -> None:
    with pytest.raises(UntrustedError):
        known_hosts_text(SeatedMachine(asset_tag=TAG, seat=1, address="10.77.0.9"), keys)


def test_a_folder_is_used_once(play: Play, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("")
    with pytest.raises(ConfigError, match="not empty"):
        run_play(play, tmp_path, access=None, timeout_s=1)


def test_progress_and_the_first_failure() -> None:
    told: list[tuple[str, float]] = []
    listener = _Listener(4, lambda step, fraction: told.append((step, fraction)))
    for name in ("a", "b"):
        listener(event("playbook_on_task_start", task=name))
    listener(event("runner_on_ok", task="a", res={"changed": True}))
    listener(event("runner_on_failed", task="x", res={"msg": "ignored"}, ignore_errors=True))
    listener(event("runner_on_failed", task="b", res={"msg": "no \x1b[31mspace"}))
    listener(event("runner_on_failed", task="c", res={"msg": "later"}))
    counts = {"ok": {TAG: 1}, "changed": {TAG: 1}, "failures": {TAG: 1}, "processed": {TAG: 1}}
    listener(event("playbook_on_stats", **counts))
    assert told == [("1/4 a", 0.0), ("2/4 b", 0.25)]
    found = listener.recap()[TAG]
    assert (found.failed_task, found.message) == ("b", "no  [31mspace")
    assert found.changed_tasks == ("a",)


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {"event": kind, "event_data": {"host": TAG, **data}}


def test_tasks_of_all_roles_are_counted() -> None:
    """Those of parts that only some schools ask for come on top, when they come."""
    site = (PLAYBOOKS / "site.yml").read_text()
    roles = re.findall(r"- role: (\w+)", site)
    listed = sum(
        (PLAYBOOKS / f"roles/{role}/tasks/main.yml").read_text().count("\n- name:")
        for role in roles
    )  # fmt: skip
    assert count_tasks(PLAYBOOKS / "site.yml") == listed + site.count("\n    - name:") > listed > 0


def test_what_outlives_a_run_that_was_given_up_is_ended(tmp_path: Path) -> None:
    """Ansible's workers have sessions of their own; other runs' workers are not touched."""
    folders = (tmp_path / "run", tmp_path / "run2")
    workers = [
        subprocess.Popen(["/bin/sleep", "300"], env={"ANSIBLE_HOME": f"{folder}/home"})
        for folder in folders
    ]
    try:
        _end_leftovers(folders[0])
        assert workers[0].wait(20) == -signal.SIGKILL
        assert workers[1].poll() is None
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
