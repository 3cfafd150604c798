"""Network, printer, desktop, courseware and classroom control, where the school asked for them."""

from __future__ import annotations

import json

from testinfra.host import Host

from provisioner.checks.promises import Promises
from provisioner.model.classroom import Aid, InputMethod
from provisioner.model.school import SeatRole

DESKTOP = "/etc/classroom/xdg"
PACKS = "/usr/share/classroom/packs"
START = "/usr/local/share/classroom/start/index.html"
POLICIES = "/etc/chromium/policies/managed"
CONTROL_SETTINGS = "/etc/xdg/Veyon Solutions/Veyon.conf"
PRIVATE_KEY = "/etc/veyon/keys/private/teacher/key"
PUBLIC_KEY = "/etc/veyon/keys/public/teacher/key"
# Where each aid is switched on, and what stands there then.
AIDS = {
    Aid.SCREEN_READER: (f"{DESKTOP}/autostart/school-screen-reader.desktop", "orca"),
    Aid.ON_SCREEN_KEYBOARD: (f"{DESKTOP}/autostart/school-keyboard.desktop", "Exec=onboard"),
    Aid.BRAILLE: ("/etc/systemd/system/multi-user.target.d/school-braille.conf", "brltty.service"),
    Aid.MAGNIFIER: (f"{DESKTOP}/xfce4/xfconf/xfce-perchannel-xml/xfwm4.xml", "zoom_desktop"),
    Aid.HIGH_CONTRAST: (
        f"{DESKTOP}/xfce4/xfconf/xfce-perchannel-xml/xsettings.xml", "HighContrastInverse",
    ),
    Aid.LARGE_TEXT: (f"{DESKTOP}/xfce4/xfconf/xfce-perchannel-xml/xsettings.xml", "CJK SC 18"),
    Aid.STICKY_KEYS: (
        f"{DESKTOP}/xfce4/xfconf/xfce-perchannel-xml/accessibility.xml",
        'name="StickyKeys" type="bool" value="true"',
    ),
    Aid.SLOW_KEYS: (
        f"{DESKTOP}/xfce4/xfconf/xfce-perchannel-xml/accessibility.xml",
        'name="SlowKeys" type="bool" value="true"',
    ),
}  # fmt: skip


def _text(host: Host, path: str) -> str:
    """A file's text; nothing when it is not there."""
    return str(host.run("cat %s", path).stdout)


def _desktop_is_read(host: Host) -> None:
    script = "/etc/X11/Xsession.d/60classroom-school"
    folders = host.run("sh -c '. %s; echo $XDG_CONFIG_DIRS'", script).stdout.strip()
    assert folders.startswith(f"{DESKTOP}:"), "the desktop does not read the school's settings"


def test_input_method(host: Host, promises: Promises) -> None:
    if promises.input_method is InputMethod.NONE:
        return
    profile = _text(host, f"{DESKTOP}/fcitx5/profile").splitlines()
    assert f"DefaultIM={promises.input_method}" in profile, "Chinese cannot be typed in this way"
    _desktop_is_read(host)


def test_auto_login(host: Host, promises: Promises) -> None:
    if promises.auto_login:
        there = host.run("test -e /etc/classroom/auto-login").rc == 0
        assert there, "somebody has to log in first"


def test_accessibility(host: Host, promises: Promises) -> None:
    for aid in promises.accessibility:
        path, wanted = AIDS[aid]
        assert wanted in _text(host, path), f"{aid} is not switched on"
    if promises.accessibility:
        _desktop_is_read(host)


def test_start_page(host: Host, promises: Promises) -> None:
    if not promises.start_page:
        return
    text = _text(host, f"{POLICIES}/school-start.json")
    policy = json.loads(text) if text else {}
    assert policy.get("HomepageLocation") == f"file://{START}", "the browser begins elsewhere"
    page = _text(host, START)
    assert "</main>" in page, "the school's page is not there"
    assert promises.sponsor_zh in page, "the sponsor is not named"


def test_courseware(host: Host, promises: Promises) -> None:
    for pack in promises.packs:
        found = host.run("sha256sum %s", f"{PACKS}/{pack.name}/pack.files").stdout.split()[:1]
        assert found, f"the pack “{pack.name}” is not on this machine"
        assert found == [pack.sha256], f"another version of the pack “{pack.name}” is there"
    if promises.serves_courseware:
        setting = _text(host, "/etc/classroom/courseware.conf").split()
        assert setting == ["KIWIX_ADDRESS=0.0.0.0"], "courseware is served to this machine alone"


def test_fixed_address(host: Host, promises: Promises) -> None:
    if not promises.fixed_address:
        return
    lines = _text(host, "/etc/systemd/network/20-wired.network.d/school.conf").splitlines()
    found = [line.removeprefix("Address=") for line in lines if line.startswith("Address=")]
    assert found == [promises.fixed_address], f"it would be {', '.join(found) or 'none'}"


def test_names(host: Host, promises: Promises) -> None:
    if promises.finds_by_name:
        lines = host.check_output("systemd-analyze cat-config systemd/resolved.conf").splitlines()
        said = [line for line in lines if line.startswith("MulticastDNS=")]
        assert said[-1:] == ["MulticastDNS=yes"], "other machines do not find this one"


def test_proxy(host: Host, promises: Promises) -> None:
    if promises.proxy is None:
        return
    shell = host.run("sh -c '. /etc/profile.d/school-proxy.sh; echo $https_proxy'").stdout.strip()
    assert shell == promises.proxy.url, f"programs use {shell or 'no proxy'}"
    text = _text(host, f"{POLICIES}/school-proxy.json")
    browser = json.loads(text)["ProxySettings"]["ProxyServer"] if text else ""
    assert browser == promises.proxy.url, f"the browser uses {browser or 'no proxy'}"


def test_wifi(host: Host, promises: Promises) -> None:
    if not promises.wifi_file:
        return
    known = host.run("ls -A /var/lib/iwd").stdout.splitlines()
    assert known == [promises.wifi_file], "it knows another network, or none"
    mode = host.check_output("stat --format='%%U %%a' %s", f"/var/lib/iwd/{promises.wifi_file}")
    assert mode == "root 600", "others can read the password"


def test_printer(host: Host, promises: Promises) -> None:
    if promises.printer is None:
        return
    name, address = promises.printer.name, promises.printer.address
    queue = host.run("LC_ALL=C lpstat -v %s", name).stdout.strip()
    assert queue == f"device for {name}: {address}", "there is no such printer"
    default = host.run("LC_ALL=C lpstat -d").stdout.strip()
    assert default == f"system default destination: {name}", "another printer would be used"
    state = host.run("LC_ALL=C lpstat -a %s", name).stdout
    assert f"{name} accepting requests" in state, "it takes no orders"


def test_classroom_control(host: Host, promises: Promises) -> None:
    if not promises.control:
        return
    state = host.run("systemctl is-active classroom-control.service").stdout.strip()
    assert state == "active", f"classroom control is {state or 'not there'}"
    # It answers on its port when somebody has logged in; what it asks for then is settled here.
    settings = [line.strip('" ') for line in _text(host, CONTROL_SETTINGS).splitlines()]
    assert "Method=1" in settings, "whoever knows a password could see the screens"
    assert _text(host, PUBLIC_KEY), "the teacher would not be recognised"
    private = host.run("stat --format='%%U:%%G %%a' %s", PRIVATE_KEY).stdout.strip()
    if promises.role is SeatRole.TEACHER:
        wanted = f"root:{promises.teacher.login} 640"
        assert private == wanted, "the teacher cannot use her key, or others can"
        pair = host.check_output("openssl pkey -pubout -in %s", PRIVATE_KEY).split()
        assert pair == _text(host, PUBLIC_KEY).split(), "the two keys do not belong together"
    else:
        assert not private, "a pupil's machine holds the teacher's key"
