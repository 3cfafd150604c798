"""The special-needs image, run natively: it speaks at its own login screen.

What is spoken is read from speech-dispatcher's own log, since nobody listens here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.model.release import SYSTEM
from provisioner.release.audit import findings
from provisioner.run import run
from tests.vm.conftest import FindRelease
from tests.vm.native import NATIVELY, NativeImage, wait_for

pytestmark = NATIVELY
SPEECHD = "/etc/speech-dispatcher/speechd.conf"
PATIENCE_S = 600


@pytest.fixture(scope="module")
def login(
    find_release: FindRelease, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NativeImage]:
    """The login screen, as LightDM shows it."""
    folder = tmp_path_factory.mktemp("special")
    with NativeImage(find_release("special-needs") / SYSTEM, folder / "box", 77) as box:
        config = box.path(SPEECHD)
        config.write_text(config.read_text().replace("LogLevel 2", "LogLevel 5"))
        box.login_screen(folder / "lightdm.log")
        wait_for(lambda: "lightdm-gtk-greeter" in running(box), PATIENCE_S, "the greeter")
        yield box


def running(box: NativeImage) -> set[str]:
    return set(box.run(["ps", "-e", "-o", "comm="]).stdout.split())


def spoken(box: NativeImage, home: str) -> str:
    """What speech-dispatcher was given to say."""
    found = box.run(["sh", "-c", f"cat $(find {home} /run/user -name speech-dispatcher.log)"])
    return found.stdout


def test_it_speaks_from_the_login_screen_on(login: NativeImage, pictures: Path) -> None:
    wait_for(lambda: "orca" in running(login), PATIENCE_S, "the screen reader")
    wait_for(lambda: "学生" in spoken(login, "/var/lib/lightdm"), PATIENCE_S, "a pupil's name")
    login.picture().quantize(64).save(pictures / "special-needs-login.png", optimize=True)
    login.press("Tab")
    said = re.compile("登录|取消|学生.*学生", re.DOTALL)
    wait_for(lambda: said.search(spoken(login, "/var/lib/lightdm")), PATIENCE_S, "the focus")


def test_the_voice_is_mandarin(login: NativeImage) -> None:
    log = spoken(login, "/var/lib/lightdm")
    assert "Chinese (Mandarin, latin as Pinyin)" in log or "cmn" in log


def test_the_tree_keeps_its_promises(find_release: FindRelease, tmp_path: Path) -> None:
    image = find_release("special-needs") / SYSTEM
    run(["mount", "-t", "squashfs", "-o", "loop,ro", image, tmp_path], timeout_s=30)
    try:
        assert findings(tmp_path) == []
    finally:
        run(["umount", tmp_path], timeout_s=30)
