"""The education image, run natively: what a pupil finds, what it costs, what listens.

`make image-test` runs this with the newest release; without one the tests are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.model.release import SYSTEM
from provisioner.release.audit import findings
from provisioner.run import run
from tests.vm.conftest import FindRelease
from tests.vm.native import NATIVELY, PUPIL, NativeImage, settled, wait_for

pytestmark = NATIVELY


@pytest.fixture(scope="module")
def image(find_release: FindRelease) -> Path:
    return find_release("education") / SYSTEM


@pytest.fixture(scope="module")
def full(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeImage]:
    """The session of a machine with enough memory, settled."""
    folder = tmp_path_factory.mktemp("full")
    with NativeImage(image, folder / "box", 71) as box:
        box.session(folder / "session.log", "full")
        wait_for(lambda: "xfce4-panel" in names(box), 240, "the panel")
        settled(box)
        yield box


def names(box: NativeImage) -> set[str]:
    return {process.name for process in box.processes() if process.uid == PUPIL}


def test_the_light_session(image: Path, tmp_path: Path, measured: dict[str, float]) -> None:
    """That of a machine with 1 GiB. Alone: two boxes of one image share pages, and PSS divides."""
    with NativeImage(image, tmp_path / "box", 72) as box:
        box.session(tmp_path / "session.log", "light")
        wait_for(lambda: {"icewm", "fcitx5"} <= names(box), 240, "the window manager")
        measured["light_session_mib"] = round(settled(box), 1)
        assert not {"xfce4-panel", "xfwm4", "xfdesktop"} & names(box)
    assert measured["light_session_mib"] < 130


def test_the_whole_desktop_is_there(full: NativeImage) -> None:
    running = names(full)
    assert {"xfce4-session", "xfwm4", "xfce4-panel", "fcitx5"} <= running, running
    colours = full.picture().resize((64, 48)).getcolors(64 * 48)
    assert colours is not None
    assert len(colours) > 20  # a picture, not one colour


def test_what_the_session_costs(full: NativeImage, measured: dict[str, float]) -> None:
    measured["session_mib"] = round(full.memory_mib(), 1)
    assert measured["session_mib"] < 300


def test_nothing_listens(full: NativeImage) -> None:
    assert full.listening() == ""


def test_it_speaks_chinese(full: NativeImage) -> None:
    assert "zh_CN.utf8" in full.run(["locale", "-a"]).stdout
    assert "en_US.utf8" in full.run(["locale", "-a"]).stdout
    match = full.run(["fc-match", "sans-serif:lang=zh-cn"]).stdout
    assert "Noto" in match, match


def test_the_pupil_cannot_become_root(full: NativeImage) -> None:
    for command in (["sudo", "-n", "id"], ["su", "-c", "id"], ["pkexec", "id"]):
        done = full.run(["setpriv", "--reuid", "2001", "--regid", "2001", "--clear-groups",
                         "timeout", "10", *command])  # fmt: skip
        assert done.returncode != 0, command
        assert "uid=0" not in done.stdout


def test_the_tree_keeps_its_promises(image: Path, tmp_path: Path) -> None:
    """As the builder checked it, in what was packed."""
    run(["mount", "-t", "squashfs", "-o", "loop,ro", image, tmp_path], timeout_s=30)
    try:
        assert findings(tmp_path) == []
    finally:
        run(["umount", tmp_path], timeout_s=30)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["chromium", "--version"], "Chromium"),
        (["kiwix-serve", "--version"], "kiwix-tools"),
        (["veyon-cli", "help"], "VEYON"),
        (["libreoffice", "--version"], "LibreOffice"),
        (["gcompris-qt", "--version"], "gcompris"),
        (["tuxpaint", "--version"], "Tux Paint"),
    ],
)
def test_programs_start(full: NativeImage, command: list[str], said: str) -> None:
    done = full.run(["env", "QT_QPA_PLATFORM=offscreen", "HOME=/tmp", *command], timeout_s=180)
    assert said.lower() in (done.stdout + done.stderr).lower(), done


def test_the_contests_layer_is_merged_and_taken_off(
    full: NativeImage, find_release: FindRelease, tmp_path: Path
) -> None:
    """By the image's own systemd-sysext; unpacked, since the box has no loop devices.

    It merges in a namespace of its own, and mounts come back from there where the root is shared,
    as systemd makes it at each start.
    """
    assert full.run(["mount", "--make-rshared", "/"]).returncode == 0
    layer = find_release("contest") / "contest.raw"
    place = full.path("/var/lib/extensions/contest")
    place.parent.mkdir(parents=True, exist_ok=True)
    run(["unsquashfs", "-no-progress", "-d", place, layer], timeout_s=120)
    note = "/usr/share/classroom/contest/README"
    assert full.run(["test", "-e", note]).returncode != 0
    merged = full.run(["systemd-sysext", "merge"])
    assert merged.returncode == 0, merged.stderr
    assert full.run(["test", "-s", note]).returncode == 0
    assert full.run(["kiwix-serve", "--version"]).returncode == 0  # the rest is still there
    assert full.run(["systemd-sysext", "unmerge"]).returncode == 0
    assert full.run(["test", "-e", note]).returncode != 0
