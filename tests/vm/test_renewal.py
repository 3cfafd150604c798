"""Three years later: a classroom renews itself over a thin line, and nobody travels.

The story is lived once (long under emulation: `make renewal`); the tests look at what it left
behind. Machines are imaged with release 1 in the workshop, handed over, and used. Release 2 is
ordered over a line of 1 Mbit/s; a machine loses its power while the release is brought, and once
more while it is tried. Then releases that do not work are offered, one after the other.

RESULTS names the file that gets the figures, RENEWAL_MACHINES how many machines there are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from provisioner.lab.machine import Bus, Machine, VirtualDisk
from provisioner.lab.workshop import VirtualWorkshop
from provisioner.run import run
from provisioner.settings import load_settings
from tests.vm.next_release import FAULTS, NEWS, next_release, spoilt_release
from tests.vm.school import SETTINGS, SchoolRoom

pytestmark = [pytest.mark.vm, pytest.mark.long]
LINE_KBIT_S = 1000
DRAWING = "/home/xuesheng/drawing.sb3"
MACHINES = int(os.environ.get("RENEWAL_MACHINES", "3"))
MAX_STARTS = 3


@dataclass(frozen=True)
class Refusal:
    """What the station heard, how often the release was started, what runs afterwards."""

    why: str
    starts: int
    running: str


@dataclass
class Story:
    """What the story left behind."""

    old: str = ""
    new: str = ""
    drawings: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    news: dict[str, str] = field(default_factory=dict)
    evidence: dict[str, dict[str, Any]] = field(default_factory=dict)
    loaders: dict[str, str] = field(default_factory=dict)
    line_bytes: int = 0
    power_cuts: list[str] = field(default_factory=list)
    refused: dict[str, Refusal] = field(default_factory=dict)
    taken_in: str = ""
    stick_said: str = ""


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    settings = load_settings()
    new = next_release(settings)
    bad = {fault: spoilt_release(settings, fault).id for fault in FAULTS}
    with VirtualWorkshop(settings, machines=MACHINES, station_settings=SETTINGS) as workshop:
        room, story = SchoolRoom(workshop), Story(new=new.id)
        room.from_power_on_to_hand_over()
        use(room, story)
        renew(room, story)
        for fault, release in bad.items():
            story.refused[fault] = offer(room, room.workshop.machines[0], release)
        look_back(room, story)
        from_the_stick(room, story, story.old)
        write_figures(story)
        yield story


def use(room: SchoolRoom, story: Story) -> None:
    """A pupil saves a file on each machine."""
    for machine in room.workshop.machines:
        story.old = room.wait_inside(machine, "sed 's/.*release=//; s/ .*//' /proc/cmdline").strip()
        command = f"head -c 200000 /dev/urandom > {DRAWING}; chown xuesheng: {DRAWING}; sync"
        room.inside(machine, command)
        story.drawings[machine.pc.name] = room.inside(machine, f"sha256sum < {DRAWING}").strip()


def renew(room: SchoolRoom, story: Story) -> None:
    """Over the thin line; the first machine loses its power twice."""
    victim = room.workshop.machines[0]
    room.thin_line(LINE_KBIT_S)
    before = room.line_bytes()
    room.order(story.new)
    room.wait(lambda: brings(room, victim), "the release to be brought")
    power_cut(victim)
    story.power_cuts.append("filling")
    room.wait(lambda: starts_of(victim, story.new) > 0, "the new system to be tried")
    power_cut(victim)
    story.power_cuts.append("trial")
    for machine in room.workshop.machines:
        room.wait(lambda m=machine: is_done(room, m, story.new), "a machine to be renewed")  # type: ignore[misc]
    story.line_bytes = room.line_bytes() - before


def brings(room: SchoolRoom, machine: Machine) -> bool:
    """Whether a machine is in the midst of bringing the new release."""
    return 0.05 < room.doing(machine)[1] < 0.6


def starts_of(machine: Machine, release: str = "") -> int:
    """How often a kernel said that it was started (with this release)."""
    lines = machine.serial_text().split("Kernel command line:")[1:]
    return sum(f"release={release}" in line.split("\n")[0] for line in lines)


def power_cut(machine: Machine) -> None:
    machine.kill()
    machine.start()


def is_done(room: SchoolRoom, machine: Machine, release: str) -> bool:
    standing = room.standing(machine)
    assert standing.state != "failed", standing
    return standing.state == "done" and standing.release == release


def offer(room: SchoolRoom, machine: Machine, release: str) -> Refusal:
    """A release that does not work, offered to one machine that must say no to it."""
    room.order(release, "--machine", room.tag(machine))
    room.wait(lambda: room.standing(machine).state == "failed", f"{release} to be refused")
    running = room.wait_inside(machine, "cat /proc/cmdline")
    return Refusal(room.standing(machine).why, starts_of(machine, release), running)


def from_the_stick(room: SchoolRoom, story: Story, release: str) -> None:
    """The school goes offline; a stick in one machine brings the release to all, and comes home."""
    stick = room.export_stick(release)
    first, *others = room.workshop.machines
    first.kill()
    disk = VirtualDisk(path=stick, size_bytes=stick.stat().st_size, bus=Bus.USB, serial="SCHOOL1")
    room.cut_off()
    first.change(disks=(first.pc.disks[0], disk))
    first.start()
    said = {machine.pc.name: starts_of(machine, release) for machine in (first, *others)}
    for machine in (first, *others):
        room.wait(lambda m=machine: starts_of(m, release) > said[m.pc.name],  # type: ignore[misc]
                  "the release of the stick to be started")  # fmt: skip
    room.wait(lambda: len(written(room, stick)) == len(room.workshop.machines), "every receipt")
    first.kill()
    home = room.receipts(stick)
    story.taken_in = room.provisioner("bundle", "import", str(home)).stdout
    story.stick_said = (home / "classroom/result.txt").read_text()


def written(room: SchoolRoom, stick: Path) -> list[str]:
    """Receipts on the stick, while it is in the machine."""
    found = run(["mdir", "-b", "-i", stick, "::classroom/receipts"], timeout_s=60, check=False)
    return [line for line in found.stdout.split() if line.endswith(".json")]


def look_back(room: SchoolRoom, story: Story) -> None:
    for machine in room.workshop.machines:
        name = machine.pc.name
        story.kept[name] = room.wait_inside(machine, f"sha256sum < {DRAWING}").strip()
        story.runs[name] = room.inside(machine, "cat /proc/cmdline")
        story.news[name] = room.inside(machine, f"cat /{NEWS}; hostname")
        story.loaders[name] = room.inside(machine, "cat /run/classroom/esp/EFI/debian/grubenv")
        runs = room.detail(machine)["runs"]
        done = [run for run in runs if run["verb"] == "renew" and run["state"] == "succeeded"]
        story.evidence[name] = dict(done[-1]["evidence"])


def write_figures(story: Story) -> None:
    if os.environ.get("RESULTS"):
        Path(os.environ["RESULTS"]).write_text(json.dumps(figures(story), indent=2) + "\n")


def figures(story: Story) -> dict[str, Any]:
    """What goes into the note."""
    machines = []
    for name, found in story.evidence.items():
        side = {word: count for word, count in found["side"].items() if word.startswith("bytes_")}
        machines.append({"name": name, "release": found["running"], **side})
    return {
        "line_bytes": story.line_bytes,
        "one_delta_bytes": one_delta(story),
        "machines": machines,
        "power_cuts": story.power_cuts,
        "refused": {fault: {"why": found.why, "starts": found.starts}
                    for fault, found in story.refused.items()},
    }  # fmt: skip


def one_delta(story: Story) -> int:
    """What one machine lacked of the release, whoever gave it."""
    sides = [found["side"] for found in story.evidence.values()]
    return max(int(side["bytes_from_station"] + side["bytes_from_peers"]) for side in sides)


def test_every_machine_runs_the_new_release(story: Story) -> None:
    assert len(story.runs) == MACHINES
    for line in story.runs.values():
        assert f"release={story.new}" in line


def test_the_pupils_files_are_there(story: Story) -> None:
    assert story.kept == story.drawings
    assert len(set(story.drawings.values())) == MACHINES


def test_the_school_is_configured_again(story: Story) -> None:
    for found in story.news.values():
        assert "Three years later." in found
        assert "room-" in found
    for evidence in story.evidence.values():
        assert len(evidence["configuration"]) == 64
        assert all(check["passed"] for check in evidence["checks"])


def test_the_line_carried_one_copy(story: Story) -> None:
    assert story.line_bytes <= 1.1 * one_delta(story)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_release_that_does_not_work_is_left_in_three_starts(story: Story, fault: str) -> None:
    found = story.refused[fault]
    assert 1 <= found.starts < MAX_STARTS  # the start after them is the old system's
    assert f"release={story.new}" in found.running
    assert found.why


def test_a_stick_in_one_machine_renewed_the_room_and_came_home(story: Story) -> None:
    assert story.taken_in.count(f"has {story.old}") == MACHINES
    assert "新系统" in story.stick_said
