"""Where Debian's packages come from: the station's own apt sources, or one setting.

A recipe names a suite, never a mirror. The station's `sources.list` files, in both of apt's
forms, say which mirror this workshop uses for Debian's own archive; other archives on the
station (browsers, cloud tools) never reach an image.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import StationError
from provisioner.run import run

APT = Path("/etc/apt")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
STABLE_NAMES = frozenset({"stable", "oldstable", "oldoldstable", "testing"})
_SUITE = re.compile(r"^(?P<base>[a-z]+)(?P<part>-updates|-security|/updates)?/?$")
_OPTION = re.compile(r"^Acquire::(http|https)::(Proxy|proxy)\b|^Acquire::Check-(Valid-Until|Date) ")


@dataclass(frozen=True)
class AptSource:
    """One entry of apt's sources: an archive, its suites, its components."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


@dataclass(frozen=True)
class Mirror:
    """Where one workshop gets Debian: archive and security archive, without a last slash."""

    archive: str
    security: str = ""

    def lines(self, suite: str, components: Iterable[str]) -> list[str]:
        """One-line entries for a suite, its updates and its security updates."""
        parts = " ".join(components)
        lines = [
            f"deb {self.archive} {suite} {parts}",
            f"deb {self.archive} {suite}-updates {parts}",
        ]
        if self.security:
            lines.append(f"deb {self.security} {suite}-security {parts}")
        return lines


def parse_sources(text: str, *, deb822: bool) -> list[AptSource]:
    """The enabled binary entries of one file, in either of apt's forms."""
    return list(_deb822(text) if deb822 else _one_line(text))


def choose_mirror(sources: Iterable[AptSource], codename: str, setting: str = "") -> Mirror:
    """The station's mirror for Debian's own archive; `setting` replaces the main archive.

    An entry is Debian's own when its suite is the station's release (or stable, …), it has the
    component main, and its key is Debian's; without a named key, when its address says debian.
    Raises StationError when there is none.
    """
    own = [source for source in sources if _is_debian(source, codename)]
    archive = next((s.uri for s in own if _part(s, codename) == ""), "")
    security = next((s.uri for s in own if _part(s, codename) in ("-security", "/updates")), "")
    archive = setting or archive
    if not archive:
        raise StationError(
            "This station's apt sources name no Debian archive.",
            "Put Debian's own entry into /etc/apt/sources.list, or set “mirror” in the settings.",
        )
    return Mirror(archive.rstrip("/"), security.rstrip("/"))


def station_mirror(setting: str = "", apt: Path = APT) -> Mirror:
    """Read this station's apt sources and choose."""
    sources: list[AptSource] = []
    for path in sorted((apt / "sources.list", *(apt / "sources.list.d").glob("*"))):
        if path.suffix in (".list", ".sources") and path.is_file():
            text = path.read_text(errors="replace")
            sources += parse_sources(text, deb822=path.suffix == ".sources")
    return choose_mirror(sources, _codename(), setting)


def parse_apt_options(dump: str) -> list[str]:
    """What a build takes over of apt's settings: the proxy, and whether dates are checked."""
    return [line.strip().rstrip(";") for line in dump.splitlines() if _OPTION.match(line)]


def station_apt_options() -> list[str]:
    """This station's proxy and clock settings, each as `Name "value"`."""
    return parse_apt_options(run(["apt-config", "dump"], timeout_s=30).stdout)


def _is_debian(source: AptSource, codename: str) -> bool:
    if "main" not in source.components or _part(source, codename) is None:
        return False
    if "/" in source.signed_by:  # a file; a key written out in the entry says nothing by name
        return "debian-archive" in source.signed_by
    return "debian" in source.uri


def _part(source: AptSource, codename: str) -> str | None:
    """'' for the release itself, '-updates', '-security'; None when it is none of them."""
    for suite in source.suites:
        found = _SUITE.match(suite)
        if found and found["base"] in STABLE_NAMES | {codename}:
            return found["part"] or ""
    return None


def _deb822(text: str) -> Iterator[AptSource]:
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = _fields(stanza)
        types = fields.get("types", "").split()
        if "deb" not in types or fields.get("enabled", "yes").strip().lower() in ("no", "false"):
            continue
        for uri in fields.get("uris", "").split():
            yield AptSource(
                uri.rstrip("/"),
                tuple(fields.get("suites", "").split()),
                tuple(fields.get("components", "").split()),
                fields.get("signed-by", "").strip(),
            )


def _fields(stanza: str) -> dict[str, str]:
    """Names in lower case; continued lines joined; comments left out."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in (" ", "\t"):
            fields[name] = f"{fields.get(name, '')}\n{line.strip()}"
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _one_line(text: str) -> Iterator[AptSource]:
    for line in text.splitlines():
        found = re.match(r"^\s*deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<rest>[^#]+)", line)
        if not found:
            continue
        words = found["rest"].split()
        options = dict(word.partition("=")[::2] for word in shlex.split(found["options"] or ""))
        if len(words) >= 2:
            yield AptSource(
                words[0].rstrip("/"), (words[1],), tuple(words[2:]), options.get("signed-by", "")
            )


def _codename() -> str:
    text = Path("/etc/os-release").read_text()
    found = re.search(r"^VERSION_CODENAME=\"?([a-z]+)", text, re.MULTILINE)
    return found[1] if found else ""
