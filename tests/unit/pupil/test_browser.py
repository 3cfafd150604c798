"""How Chromium is started."""

from __future__ import annotations

from pathlib import Path

from provisioner.pupil import browser


def test_the_window_shows_our_page_and_looks_nothing_up() -> None:
    words = browser.command("http://127.0.0.1:8601/?work=#k", Path("/p"), {"LANG": "zh_CN.UTF-8"})
    assert words[0] == "chromium"
    assert words[-1] == "--app=http://127.0.0.1:8601/?work=#k"
    assert "--enable-unsafe-swiftshader" in words
    assert "--lang=zh-CN" in words
    assert any(word.startswith("--host-resolver-rules=MAP * ~NOTFOUND") for word in words)


def test_chinese_unless_the_session_says_english() -> None:
    assert browser.editor_language({}) == "zh-cn"
    assert browser.editor_language({"LANG": "en_GB.UTF-8"}) == "en"
    assert browser.editor_language({"LANG": "en_US.UTF-8", "LC_ALL": "zh_CN.UTF-8"}) == "zh-cn"


def test_weak_eyes_get_larger_pages() -> None:
    assert "--force-device-scale-factor=1.5" in browser.command(
        "x", Path("/p"), {"CLASSROOM_SCALE": "1.5"})  # fmt: skip


def test_a_profile_that_another_name_of_this_computer_locked_opens(tmp_path: Path) -> None:
    (tmp_path / "SingletonLock").symlink_to("old-name-1234")
    browser.forget_other_names(tmp_path)
    assert not (tmp_path / "SingletonLock").is_symlink()


def test_all_windows_of_the_image_are_silent() -> None:
    text = browser.debian_flags()
    for switch in browser.SILENCE:
        assert f"$CHROMIUM_FLAGS {switch}" in text
