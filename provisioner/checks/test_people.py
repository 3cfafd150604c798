"""Who can use the machine, what greets them, and what they cannot do."""

from __future__ import annotations

from testinfra.host import Host

from provisioner.checks.promises import PromisedAccount, Promises
from provisioner.checks.visit import Visit, login_methods

# Groups whose members can become root or read and write the disk below the file systems.
POWERFUL = frozenset(
    {"root", "adm", "sudo", "admin", "wheel", "disk", "shadow", "kmem", "docker", "lxd"}
)
HASHES = ("$y$", "$6$")  # yescrypt and SHA-512, as crypt(5) marks them


def test_accounts(host: Host, promises: Promises) -> None:
    for account in promises.accounts:
        _check_account(host, account)


def _check_account(host: Host, account: PromisedAccount) -> None:
    line = host.run("getent passwd %s", account.login).stdout.strip()
    assert line, f"there is no account {account.login}"
    _, _, uid, _, full_name, home, shell = line.split(":")
    assert int(uid) == account.uid, f"{account.login} has the number {uid}, not {account.uid}"
    assert full_name.rstrip(",") == account.full_name, f"{account.login} is called {full_name}"
    assert shell == "/bin/bash", f"{account.login} gets {shell}"
    found = host.run("stat --format='%%U %%a' %s", home).stdout.split()
    assert found == [account.login, "700"], f"{home} is {' '.join(found) or 'not there'}"


def test_passwords(host: Host, promises: Promises) -> None:
    lines = host.check_output("getent shadow").splitlines()
    stored = {fields[0]: fields[1] for fields in (line.split(":") for line in lines)}
    empty = [login for login, password in stored.items() if password == ""]
    assert not empty, f"no password is needed for {', '.join(empty)}"
    ours = {account.login for account in promises.accounts}
    for login in sorted(ours):
        assert stored.get(login, "").startswith(HASHES), f"{login} has no password yet"
    others = [login for login, text in stored.items() if text[:1] == "$" and login not in ours]
    assert not others, f"these may log in as well: {', '.join(others)}"


def test_no_administrators(host: Host, promises: Promises) -> None:
    for account in promises.accounts:
        groups = set(host.check_output("id --name --groups %s", account.login).split())
        power = sorted(groups & POWERFUL)
        assert not power, f"{account.login} is in {', '.join(power)}"
        allowed = host.run("LC_ALL=C sudo --list --other-user=%s", account.login).stdout
        assert "may run the following" not in allowed, f"{account.login} may use sudo"


def test_banner(host: Host, promises: Promises) -> None:
    for path, wanted in (
        ("/etc/issue", (promises.greeting_en.replace("\\", "\\\\"),)),
        ("/etc/motd", (promises.greeting_en, promises.greeting_zh)),
    ):
        text = host.check_output("cat %s", path)
        missing = [greeting for greeting in wanted if greeting not in text]
        assert not missing, f"{path} lacks: {missing[0].splitlines()[0]}" if missing else ""


def test_wallpaper(host: Host, promises: Promises) -> None:
    if promises.wallpaper_sha256 is None:
        return
    path = f"/usr/local/share/classroom-wallpaper{promises.wallpaper_suffix}"
    found = host.run("sha256sum %s", path).stdout.split()[:1]
    assert found == [promises.wallpaper_sha256], "another picture, or none, is there"


def test_network_login(visit: Visit) -> None:
    methods = login_methods(visit)
    assert methods == {"publickey"}, f"the server offers: {', '.join(sorted(methods))}"
