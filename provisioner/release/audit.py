"""Promises about every installed system, checked in its tree before it is packed.

No password that anybody could know, no way to become root, nothing that listens but SSH, nothing
that changes or reports by itself. A recipe cannot switch this off; a build that breaks one of
the rules stops and says which.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from provisioner.errors import ProofMissingError
from provisioner.release.tree import walk

# Programs that run as root for whoever starts them, each with a check of its own.
SETUID = frozenset({
    "chfn", "chsh", "fusermount3", "gpasswd", "mount", "newgrp", "ntfs-3g", "passwd", "pkexec",
    "su", "sudo", "umount", "Xorg.wrap", "chrome-sandbox", "dbus-daemon-launch-helper",
    "polkit-agent-helper-1", "ssh-keysign",
})  # fmt: skip
# Membership in one of these is root under another name.
POWERFUL = frozenset({"root", "sudo", "adm", "disk", "shadow", "lpadmin", "docker", "wheel"})
# Services that listen on the network, or that fetch or send by themselves.
UNWANTED = (
    "avahi-daemon", "cups-browsed", "epoptes", "exim4", "rpcbind", "veyon", "x11vnc", "xrdp",
    "bluetooth", "packagekit", "unattended-upgrades", "fwupd", "fwupd-refresh", "apt-daily",
    "apt-daily-upgrade", "popularity-contest", "motd-news", "whoopsie", "kolibri", "nginx",
    "apache2", "smbd", "nmbd", "NetworkManager-wait-online",
)  # fmt: skip
LISTENERS = frozenset({"ssh.socket"})
_UNIT_FOLDERS = ("etc/systemd/system", "usr/lib/systemd/system")
_PORT = re.compile(r"^Listen(?:Stream|Datagram)=(?:[0-9.]+:|\[[^]]*\]:)?\d+$", re.MULTILINE)
_NO_PASSWORD = re.compile(r"^[!*]")

Check = Callable[[Path], Iterator[str]]


def audit(tree: Path) -> None:
    """Raises ProofMissingError with everything in the tree that breaks a promise."""
    if found := findings(tree):
        listed = "\n".join(f"  {line}" for line in found[:20])
        raise ProofMissingError(
            f"The image would break {len(found)} of the promises made to a school:\n{listed}",
            "Take out the package or the file that brings it, or mask its unit in the recipe.",
        )


def findings(tree: Path) -> list[str]:
    """Every breach, in words."""
    return [line for check in CHECKS for line in check(tree)]


def passwords(tree: Path) -> Iterator[str]:
    """Nobody can log in with a password that stands in the image."""
    for name, password, *_ in _table(tree / "etc/shadow"):
        if not _NO_PASSWORD.match(password):
            yield f"the account {name} has {'a' if password else 'an empty'} password"
    for name, password, uid, *_ in _table(tree / "etc/passwd"):
        if password != "x":  # noqa: S105 - the mark for “in the shadow”
            yield f"the account {name} has its password in /etc/passwd"
        if uid == "0" and name != "root":
            yield f"the account {name} is root under another name"


def powers(tree: Path) -> Iterator[str]:
    """No account is in a group that administers, and sudo asks everybody."""
    for name, _, _, members in _table(tree / "etc/group"):
        if name in POWERFUL and members.strip():
            yield f"the group {name} has members: {members}"
    for path in sorted((tree / "etc").glob("sudoers*")) + sorted(tree.glob("etc/sudoers.d/*")):
        if path.is_file() and "NOPASSWD" in _code(path):
            yield f"/{path.relative_to(tree)} lets somebody become root without a password"
    for path in sorted(tree.glob("root/.ssh/*")) + sorted(tree.glob("home/*")):
        yield f"/{path.relative_to(tree)} does not belong into an image"


def modes(tree: Path) -> Iterator[str]:
    """No unknown program runs as root, and nobody can change what is not theirs."""
    for path in walk(tree):
        mode = path.lstat().st_mode
        name = f"/{path.relative_to(tree)}"
        if stat.S_ISREG(mode) and mode & stat.S_ISUID and path.name not in SETUID:
            yield f"{name} runs as root for whoever starts it"
        if stat.S_ISREG(mode) and mode & stat.S_IWOTH:
            yield f"{name} can be changed by everybody"
        if stat.S_ISDIR(mode) and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            yield f"the folder {name} can be changed by everybody"


def units(tree: Path) -> Iterator[str]:
    """No unit starts that listens on the network, or that changes or reports by itself."""
    started = enabled_units(tree)
    for name in sorted(started):
        stem = name.rpartition(".")[0].partition("@")[0]
        if stem in UNWANTED and not masked(tree, name):
            yield f"the unit {name} starts"
        if name.endswith(".socket") and name not in LISTENERS and not masked(tree, name):
            text = next((_code(p) for f in _UNIT_FOLDERS if (p := tree / f / name).is_file()), "")
            if _PORT.search(text):
                yield f"the unit {name} listens on the network"
    for name in ("popularity-contest", "unattended-upgrades", "apt-listchanges", "telnetd"):
        if (tree / "var/lib/dpkg/info" / f"{name}.list").is_file():
            yield f"the package {name} is installed"


def secrets(tree: Path) -> Iterator[str]:
    """Nothing that two machines would share."""
    for path in sorted(tree.glob("etc/ssh/ssh_host_*")):
        yield f"/{path.relative_to(tree)} would be the same on all machines"
    machine_id = tree / "etc/machine-id"
    if machine_id.is_file() and machine_id.read_text().strip():
        yield "/etc/machine-id would be the same on all machines"


def confinement(tree: Path) -> Iterator[str]:
    """AppArmor, where the image has it, is on."""
    if (tree / "usr/lib/systemd/system/apparmor.service").is_file() and (
        "apparmor.service" not in enabled_units(tree) or masked(tree, "apparmor.service")
    ):
        yield "AppArmor is installed and does not start"


def browser(tree: Path) -> Iterator[str]:
    """Chromium, where the image has it, is told to report nothing and to fetch nothing."""
    if not (tree / "usr/bin/chromium").exists():
        return
    policies: dict[str, object] = {}
    for path in sorted(tree.glob("etc/chromium/policies/managed/*.json")):
        policies |= json.loads(path.read_text())
    for name, value in BROWSER.items():
        if policies.get(name) != value:
            yield f"Chromium's policy {name} is not {json.dumps(value)}"


# Names and values from Chromium's policy list; each is a request that it makes by itself.
BROWSER: dict[str, object] = {
    "AlternateErrorPagesEnabled": False,
    "BrowserSignin": 0,
    "BuiltInDnsClientEnabled": False,
    "ChromeVariations": 2,
    "ComponentUpdatesEnabled": False,
    "DnsOverHttpsMode": "off",
    "DomainReliabilityAllowed": False,
    "EnableMediaRouter": False,
    "MetricsReportingEnabled": False,
    "NetworkPredictionOptions": 2,
    "PasswordLeakDetectionEnabled": False,
    "SafeBrowsingProtectionLevel": 0,
    "SearchSuggestEnabled": False,
    "SpellCheckServiceEnabled": False,
    "SyncDisabled": True,
    "TranslateEnabled": False,
    "UrlKeyedAnonymizedDataCollectionEnabled": False,
}
CHECKS: tuple[Check, ...] = (passwords, powers, modes, units, secrets, confinement, browser)


def enabled_units(tree: Path) -> set[str]:
    """Names of the units that something pulls in at start: links in wants and requires folders."""
    return {
        path.name
        for folder in _UNIT_FOLDERS
        for kind in ("wants", "requires")
        for path in (tree / folder).glob(f"*.{kind}/*")
        if not path.name.startswith(".")
    }


def masked(tree: Path, unit: str) -> bool:
    """Whether nothing may start a unit."""
    path = tree / _UNIT_FOLDERS[0] / unit
    return path.is_symlink() and str(path.readlink()) == "/dev/null"


def _table(path: Path) -> Iterator[list[str]]:
    if path.is_file():
        yield from (line.split(":") for line in path.read_text().splitlines() if line)


def _code(path: Path) -> str:
    """A file without its comments."""
    lines = path.read_text(errors="replace").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))
