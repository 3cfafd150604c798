"""Does the machine know its seat, its language, and the time?"""

from __future__ import annotations

import shlex
import time

from testinfra.host import Host

from provisioner.checks.promises import Promises

CLOCK_TOLERANCE_S = 60


def _settings(host: Host, path: str) -> dict[str, str]:
    """A file of NAME="value" lines, as a shell reads it."""
    words = shlex.split(host.check_output("cat %s", path), comments=True)
    return dict(word.split("=", 1) for word in words if "=" in word)


def test_hostname(host: Host, promises: Promises) -> None:
    now, kept = host.check_output("uname -n"), host.check_output("cat /etc/hostname")
    assert now == promises.hostname, f"it is called {now}, not {promises.hostname}"
    assert kept == promises.hostname, f"after a restart it would be called {kept}"
    found = host.run("getent hosts %s", promises.hostname).stdout.split()
    assert promises.hostname in found, "it does not find its own name"


def test_language(host: Host, promises: Promises) -> None:
    # Asked of a login, which reads the settings as a pupil's would.
    login = promises.accounts[-1].login
    language, charmap = host.check_output(
        "su --login %s --command 'echo $LANG; locale charmap'", login
    ).splitlines()[-2:]
    assert language == promises.language, f"a login gets {language or 'no language'}"
    assert charmap == "UTF-8", f"{language} is not installed: a login writes in {charmap}"


def test_time_zone(host: Host, promises: Promises) -> None:
    zone = host.check_output("readlink --canonicalize-existing /etc/localtime")
    assert zone == f"/usr/share/zoneinfo/{promises.time_zone}", f"the time zone is {zone}"


def test_keyboard(host: Host, promises: Promises) -> None:
    found = _settings(host, "/etc/default/keyboard")
    layout = (found.get("XKBLAYOUT", ""), found.get("XKBVARIANT", ""))
    assert layout == (promises.keyboard.layout, promises.keyboard.variant), (
        f"the layout is {' '.join(layout).strip() or 'not set'}"
    )


def test_clock(host: Host) -> None:
    before = time.time()
    theirs = int(host.check_output("date --utc +%s"))
    after = time.time()
    off = min(abs(theirs - before), abs(theirs - after))
    assert off <= CLOCK_TOLERANCE_S, f"the clock is off by {off:.0f} s"


def test_time_servers(host: Host, promises: Promises) -> None:
    lines = host.check_output("systemd-analyze cat-config systemd/timesyncd.conf").splitlines()
    named = [line.removeprefix("NTP=").split() for line in lines if line.startswith("NTP=")]
    servers = tuple(named[-1]) if named else ()
    assert servers == promises.time_servers, f"it would ask {', '.join(servers) or 'nobody'}"
