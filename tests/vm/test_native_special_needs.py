"""The special-needs image, run natively: it speaks at its own login screen and in the desktop.

Native here: LightDM, greeter, session, Orca, speech-dispatcher, espeak-ng, PulseAudio, BRLTTY. Not
here: a sound card (PulseAudio's empty output is recorded instead), a Braille display (BRLTTY's
virtual driver tells its dots), systemd (nothing but who starts PulseAudio and BRLTTY changes).
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.model.release import SYSTEM
from provisioner.release.audit import findings
from provisioner.run import run
from tests.vm.conftest import FindRelease
from tests.vm.native import NATIVELY, NativeImage, wait_for
from tests.vm.senses import (
    BrailleDisplay,
    listen_command,
    most_like,
    samples,
    spoken_parts,
    wave_samples,
)

pytestmark = NATIVELY
SPEECHD = "/etc/speech-dispatcher/speechd.conf"
# Debian's own switch for a system without systemd: the library starts PulseAudio when it is needed.
AUTOSPAWN = "/run/pulseaudio-enable-autospawn"
SOCKET = "/run/braille.socket"
BRLTTY = ["brltty", "--braille-driver=vr", f"--braille-device=server:{SOCKET}",
          "--screen-driver=no", "--no-daemon", "--quiet"]  # fmt: skip
PATIENCE_S = 600
GREETER, HOME = "/var/lib/lightdm", "/home/pupil"
SENTENCE = "你好，今天我们学习编程。"
OTHERS = ("请打开第三课的练习。", "老师在看大家的屏幕。", "屏幕阅读器已经关闭。",
          "把作品保存到文件夹里。")  # fmt: skip


@pytest.fixture(scope="module")
def box(
    find_release: FindRelease, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NativeImage]:
    """The login screen, as LightDM shows it, with a Braille display plugged in."""
    folder = tmp_path_factory.mktemp("special")
    with NativeImage(find_release("special-needs") / SYSTEM, folder / "box", 77) as box:
        config = box.path(SPEECHD)
        config.write_text(config.read_text().replace("LogLevel 2", "LogLevel 5"))
        box.path(AUTOSPAWN).write_text("autospawn = yes\n")
        box.start_as(box.as_root(BRLTTY), folder / "brltty.log")
        wait_for(box.path(SOCKET).exists, PATIENCE_S, "BRLTTY")
        box.login_screen(folder / "lightdm.log")
        wait_for(lambda: "lightdm-gtk-greeter" in running(box), PATIENCE_S, "the greeter")
        yield box


def running(box: NativeImage) -> set[str]:
    return set(box.run(["ps", "-e", "-o", "comm="]).stdout.split())


def spoken(box: NativeImage, home: str) -> list[str]:
    """What speech-dispatcher was given to say, sentence by sentence, from its own log."""
    look = f"grep -ah 'Queueing message' $(find {home} -name speech-dispatcher.log)"
    said = re.findall(r"\|(.*?)\|? with priority", box.run(["sh", "-c", look]).stdout)
    return [re.sub("<[^>]*>", "", text) for text in said]


def heard(box: NativeImage, home: str, words: str, key: str = "") -> None:
    """Press the key, if one is given, and wait until something new with these words was said."""
    before = len(spoken(box, home)) if key else 0
    if key:
        box.press(key)
    wait_for(lambda: any(words in text for text in spoken(box, home)[before:]), PATIENCE_S, words)


def as_braille(box: NativeImage, text: str) -> str:
    """The text in the mainland's common Braille, by liblouis itself."""
    ask = "import louis, sys; print(louis.translateString(sys.argv[1].split(), sys.argv[2]))"
    told = box.run(["python3", "-c", ask, "unicode.dis zhcn-cbs.ctb", text])
    return told.stdout.strip()


def voice(box: NativeImage, text: str) -> list[int]:
    """The sentence by the same voice, without anything between."""
    words = box.as_root(["espeak-ng", "-v", "cmn-latn-pinyin", "--stdout", text])
    return wave_samples(subprocess.run(words, capture_output=True, timeout=60, check=True).stdout)


def test_it_speaks_from_the_login_screen_on(box: NativeImage, pictures: Path) -> None:
    """Whose login it is and how; then what has the focus, and the other account."""
    heard(box, GREETER, "学生，请按回车键登录")
    heard(box, GREETER, "屏幕阅读器启用")
    box.picture().quantize(64).save(pictures / "special-needs-login.png", optimize=True)
    for _ in range(4):  # round the few things that there are
        box.press("Tab")
        time.sleep(1)
    heard(box, GREETER, "登录 按钮")
    heard(box, GREETER, "组合框 学生")


def test_what_is_heard_is_what_was_said(box: NativeImage, tmp_path: Path) -> None:
    """The sound that would go to the loudspeaker, recognised among other sentences."""
    recording = tmp_path / "sound"
    box.start_as(box.beside("lightdm-gtk-greeter", listen_command()), recording)
    wait_for(lambda: recording.stat().st_size > 0, PATIENCE_S, "the recording")
    time.sleep(10)  # what was being said ends
    began = recording.stat().st_size // 2 * 2
    say = box.beside("lightdm-gtk-greeter", ["spd-say", "--wait", SENTENCE])
    assert subprocess.run(say, timeout=PATIENCE_S, check=False).returncode == 0
    time.sleep(3)
    parts = spoken_parts(samples(recording.read_bytes()[began:]))
    assert parts, "silence"
    sound = [number for part in parts for number in part]
    text, nearer = most_like(sound, {text: voice(box, text) for text in (SENTENCE, *OTHERS)})
    assert text == SENTENCE
    assert nearer > 0.2


def test_the_braille_display_shows_the_focus_in_chinese_braille(box: NativeImage) -> None:
    """Orca's words for it, by liblouis, through BrlAPI and BRLTTY, as dots."""
    display = BrailleDisplay(box.path(SOCKET))
    wanted = [as_braille(box, "登录 按钮"), as_braille(box, "学生 组合框")]
    assert all("\\x" not in words and words for words in wanted)
    try:
        for _ in wanted:
            box.press("Tab")
            time.sleep(5)
        wait_for(lambda: all(any(words in line for line in display.shown()) for words in wanted),
                 PATIENCE_S, "the focus in Braille")  # fmt: skip
    finally:
        display.close()


def test_the_text_console_has_chinese_braille(box: NativeImage) -> None:
    """BRLTTY's own translator with the table of its settings."""
    told = box.run(["sh", "-c", "echo 学生 | brltty-ctb --contraction-table=louis:zhcn-cbs.ctb"])
    assert as_braille(box, "学生") in told.stdout, told


def test_the_screen_has_contrast(box: NativeImage) -> None:
    """White on black at the login screen, in letters of twice the size."""
    shades = box.picture().convert("L").histogram()
    assert sum(shades[:40]) > 0.6 * sum(shades)
    assert sum(shades[220:]) > 300


def test_everything_by_the_keyboard(box: NativeImage, pictures: Path) -> None:
    """Choose the other account and come back, log in, open the menu: no mouse at all."""
    for _ in range(2):
        if not any("组合框 学生" in text for text in spoken(box, GREETER)[-1:]):
            box.press("Tab")
            time.sleep(20)
    heard(box, GREETER, "密码文本", "Down")
    heard(box, GREETER, "组合框 学生", "Up")
    box.press("Return")
    wait_for(lambda: box.runs("xfce4-panel"), PATIENCE_S, "the desktop")
    heard(box, HOME, "屏幕阅读器启用")
    assert not box.runs("magnus")  # a window that nobody asked for would have the focus
    box.press("alt+F1")
    heard(box, HOME, "菜单")
    box.picture().quantize(64).save(pictures / "special-needs-menu.png", optimize=True)


def test_the_screen_reader_comes_back(box: NativeImage) -> None:
    """Who sees nothing could not start it again."""
    before = len(spoken(box, HOME))
    box.run(["pkill", "--signal", "KILL", "--uid", "2001", "orca"])
    wait_for(lambda: "屏幕阅读器启用。" in spoken(box, HOME)[before:], PATIENCE_S, "its return")


def test_the_tree_keeps_its_promises(find_release: FindRelease, tmp_path: Path) -> None:
    image = find_release("special-needs") / SYSTEM
    run(["mount", "-t", "squashfs", "-o", "loop,ro", image, tmp_path], timeout_s=30)
    try:
        assert findings(tmp_path) == []
    finally:
        run(["umount", tmp_path], timeout_s=30)
