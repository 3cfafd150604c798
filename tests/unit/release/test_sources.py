"""The mirror comes from the station's own apt sources; strangers' archives never do."""

from __future__ import annotations

import pytest

from provisioner.errors import StationError
from provisioner.release.sources import (
    AptSource,
    Mirror,
    choose_mirror,
    parse_apt_options,
    parse_sources,
)

DEB822 = """\
Types: deb
# a comment
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By:
 /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://old.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """\
# deb http://off.example/debian bookworm main
deb http://mirror.example/debian bookworm main contrib  # ours
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \
http://sec.example/debian-security bookworm-security main
deb-src http://mirror.example/debian bookworm main
"""
STRANGERS = [
    AptSource("http://browser.example/linux/debian", ("stable",), ("nonfree",)),
    AptSource("http://cloud.example/apt", ("cloud-bookworm",), ("main",)),
    AptSource("http://tools.example/debian", ("bookworm",), ("main",), "/usr/share/tools.gpg"),
    AptSource("http://forge.example/apt", ("bookworm",), ("main",)),
    AptSource("http://node.example/deb", ("nodistro",), ("main",), "/usr/share/node.gpg"),
]


def test_deb822() -> None:
    first, second = parse_sources(DEB822, deb822=True)
    assert first.uri == "http://mirror.example/debian"
    assert first.suites == ("bookworm", "bookworm-updates")
    assert second.uri == "http://mirror.example/debian-security"
    assert "debian-archive" in second.signed_by


def test_one_line() -> None:
    first, second = parse_sources(ONE_LINE, deb822=False)
    assert (first.uri, first.suites) == ("http://mirror.example/debian", ("bookworm",))
    assert first.components == ("main", "contrib")
    assert second.uri == "http://sec.example/debian-security"
    assert "debian-archive" in second.signed_by


@pytest.mark.parametrize(("text", "deb822"), [(DEB822, True), (ONE_LINE, False)])
def test_mirror_of_the_station(text: str, deb822: bool) -> None:
    mirror = choose_mirror([*STRANGERS, *parse_sources(text, deb822=deb822)], "bookworm")
    assert mirror.archive == "http://mirror.example/debian"
    assert mirror.security.endswith("debian-security")


def test_a_key_written_out_in_the_entry() -> None:
    block = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
    own = AptSource("http://mirror.example/debian", ("bookworm",), ("main",), block)
    assert choose_mirror([own], "bookworm").archive == "http://mirror.example/debian"


def test_strangers_are_no_mirror() -> None:
    with pytest.raises(StationError, match="no Debian archive"):
        choose_mirror(STRANGERS, "bookworm")


def test_a_setting_replaces_the_archive_but_not_security() -> None:
    sources = parse_sources(DEB822, deb822=True)
    mirror = choose_mirror(sources, "bookworm", "http://near.example/debian/")
    assert mirror.archive == "http://near.example/debian"
    assert mirror.security == "http://mirror.example/debian-security"


def test_lines_name_the_recipes_suite_not_the_stations() -> None:
    mirror = Mirror("http://m.example/debian", "http://m.example/debian-security")
    assert mirror.lines("trixie", ["main", "contrib"]) == [
        "deb http://m.example/debian trixie main contrib",
        "deb http://m.example/debian trixie-updates main contrib",
        "deb http://m.example/debian-security trixie-security main contrib",
    ]


def test_only_proxy_and_clock_are_taken_from_apts_settings() -> None:
    dump = """\
APT::Install-Recommends "1";
Acquire::http::Proxy "http://10.0.0.1:3142";
Acquire::Check-Valid-Until "false";
DPkg::Post-Invoke:: "rm -rf /";
Acquire::http::Pipeline-Depth "0";
"""
    assert parse_apt_options(dump) == [
        'Acquire::http::Proxy "http://10.0.0.1:3142"',
        'Acquire::Check-Valid-Until "false"',
    ]
