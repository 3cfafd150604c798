"""Is it the machine that was imaged, running the system that was promised?"""

from __future__ import annotations

from pathlib import PurePosixPath

from testinfra.host import Host

from provisioner.checks.promises import Promises
from provisioner.model.release import SYSTEM

AGENT = "classroom-agent.service"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"


def test_host_key(host: Host, promises: Promises) -> None:
    # The connection itself was refused if the key were another; this is the key it will keep.
    words = host.check_output(f"cat {HOST_KEY}").split()
    assert " ".join(words[:2]) in promises.ssh_host_keys, "the machine shows another host key"


def test_release(host: Host, promises: Promises) -> None:
    assert f"release={promises.release}" in host.check_output("cat /proc/cmdline").split(), (
        f"the machine was not started with release {promises.release}"
    )
    kind, options = host.check_output("findmnt --noheadings --output FSTYPE,OPTIONS /").split()
    assert kind == "overlay", f"the root file system is {kind}"
    lower = next((o for o in options.split(",") if o.startswith("lowerdir=")), "lowerdir=")
    below = lower.removeprefix("lowerdir=").split(":")
    assert len(below) == 1, "more than the release lies below the machine's own files"
    source, kind = host.check_output(
        "findmnt --noheadings --output SOURCE,FSTYPE --mountpoint %s", below[0]
    ).split()
    assert kind == "squashfs", f"below the machine's own files lies a {kind}"
    loop = PurePosixPath(source).name
    file = host.check_output("cat /sys/block/%s/loop/backing_file", loop)
    assert file.endswith(f"/releases/{promises.release}/{SYSTEM}"), f"it runs from {file}"


def test_home_persistent(host: Host) -> None:
    source, kind = host.check_output(
        "findmnt --noheadings --output SOURCE,FSTYPE --mountpoint /home"
    ).split()
    assert kind == "ext4", f"/home is a {kind}"
    device, _, folder = source.partition("[")
    assert folder == "/home]", f"/home is not the folder kept for it, but {source}"
    label = host.check_output("blkid -o value -s LABEL %s", device)
    assert label == "state", f"/home lies on a file system called “{label}”"


def test_agent(host: Host) -> None:
    state = host.run("systemctl is-active %s", AGENT).stdout.strip()
    assert state == "active", f"the agent is {state or 'not there'}"


def test_services(host: Host) -> None:
    failed = host.check_output("systemctl list-units --failed --plain --no-legend")
    names = [line.split()[0] for line in failed.splitlines()]
    assert not names, f"these failed: {', '.join(names)}"
