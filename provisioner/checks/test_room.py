"""Does the machine serve its school: what pupils save, who may do what, the room's hours?"""

from __future__ import annotations

import json

from testinfra.host import Host

from provisioner.checks.promises import Promises
from provisioner.model.classroom import Homes
from provisioner.model.school import SeatRole
from provisioner.model.school_file import PATH, SITE_CACHE_PATH

POLKIT_RULES = "/etc/polkit-1/rules.d/05-school.rules"
CLOSE = "classroom-close.timer"
# What a pupil's account must not be able to write; each is asked of the account itself.
SYSTEM_PLACES = ("/", "/etc", "/usr", "/boot", "/var/lib", "/home", "/etc/classroom")


def _json(host: Host, path: str) -> dict[str, object]:
    found = host.run("cat %s", path)
    assert found.rc == 0, f"{path} is not there"
    return dict(json.loads(found.stdout))


def test_school(host: Host, promises: Promises) -> None:
    about = _json(host, str(PATH))
    assert about["school"] == promises.school, f"it believes to be at {about['school']}"
    assert about["seat"] == promises.seat, f"it believes to sit at {about['seat']}"
    assert about["homes"] == promises.homes, f"it believes that homes are {about['homes']}"


def test_homes(host: Host, promises: Promises) -> None:
    home = f"/home/{promises.pupil.login}"
    reset = host.run("mountpoint --quiet %s", home).rc == 0
    if promises.homes is Homes.KEPT:
        assert not reset, f"what is saved in {home} would be put aside"
        return
    assert reset, f"what is saved in {home} would stay"
    policy = host.run("grep -x policy=%s /etc/classroom/homes.conf", promises.homes)
    assert policy.rc == 0, "it would do something else at the next start"
    enabled = host.run("systemctl is-enabled classroom-homes.service").stdout.strip()
    assert enabled == "enabled", "nothing is put aside when the machine starts"
    units = host.check_output("systemctl cat user-runtime-dir@%s.service", str(promises.pupil.uid))
    per_class = "classroom/homes session" in units
    assert per_class is (promises.homes is Homes.RESET_PER_CLASS), (
        "nothing is put aside when the next class begins"
        if promises.homes is Homes.RESET_PER_CLASS
        else "what is saved would be put aside in the middle of the day"
    )
    found = host.check_output("stat --format='%U:%G %a' /home/.classroom/aside")
    assert found == f"root:{promises.teacher.login} 750", f"what was put aside belongs to {found}"


def test_protected(host: Host, promises: Promises) -> None:
    rules = host.run("cat %s", POLKIT_RULES).stdout
    for account in promises.accounts:
        assert f'"{account.login}"' in rules, f"{account.login} may be asked for a password"
    keys = host.check_output("systemd-analyze cat-config sysctl.d").splitlines()
    said = [line.split("=")[1].strip() for line in keys if line.startswith("kernel.sysrq")]
    assert said[-1:] == ["0"], "keys reach the kernel past the system"
    login = promises.pupil.login
    ask = f"for place in {' '.join(SYSTEM_PLACES)}; do test ! -w $place || echo $place; done"
    words = f"setpriv --reuid {login} --regid {login} --clear-groups"
    writable = host.check_output(f"{words} sh -c %s", ask).split()
    assert not writable, f"{login} can write to {', '.join(writable)}"
    jobs = host.run("cat /etc/cron.allow").stdout.split()
    assert jobs == ["root"], "pupils can leave jobs that run without them"


def test_disk_reserve(host: Host) -> None:
    free, available, total = map(
        int, host.check_output("stat --file-system --format='%f %a %b' /home").split()
    )
    percent = 100 * (free - available) / total
    assert percent >= 1, f"{percent:.1f} % of the disk is kept for the system"


def test_opening_hours(host: Host, promises: Promises) -> None:
    if promises.hours is None or not promises.hours.switch_off:
        return
    state = host.run("systemctl is-active %s", CLOSE).stdout.strip()
    assert state == "active", f"nothing watches the closing time ({state})"
    told = host.check_output("systemctl show --property=TimersCalendar %s", CLOSE)
    for time in promises.hours.times:
        wanted = f"*-*-* {time.close}:00"
        assert wanted in told, f"it does not switch off at {time.close}"


def test_teacher_desk(host: Host, promises: Promises) -> None:
    if promises.role is not SeatRole.TEACHER:
        return
    about, cache = _json(host, str(PATH)), _json(host, str(SITE_CACHE_PATH))
    assert about["rescue"] is promises.rescue, (
        f"rescue over the network is {'on' if about['rescue'] else 'off'}"
    )
    assert cache["enabled"] is promises.site_cache, (
        f"giving updates to the room is {'on' if cache['enabled'] else 'off'}"
    )
