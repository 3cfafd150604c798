"""The bill of materials is CycloneDX as its own makers check it, and the same each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from provisioner.release.components import Item
from provisioner.release.sbom import bill_of_materials, licence_entry, purl, write_bill
from provisioner.release.spdx import SAME, spdx_id

ITEMS = (
    Item("systemd", "257.9-1", ("LGPL-2.1+", "Expat", "MIT"), source="systemd 257.9-1",
         sha256="a" * 64),
    Item("zlib1g", "1:1.3.dfsg+really1.3.1-1+b1", ("Zlib",), source="zlib 1:1.3-1"),
    Item("@scratch/scratch-gui", "15.2.0", ("AGPL-3.0-only",), "npm"),
    Item("kolibri", "0.19.5", ("MIT",), "pypi"),
    Item("classroom-blocks", "1", ("Apache-2.0",), "project"),
    Item("firmware-realtek", "20250410-2", ("binary-redist-Realtek",)),
)  # fmt: skip


def written(tmp_path: Path) -> str:
    write_bill(
        tmp_path / "bill.json", bill_of_materials("education", "trixie", 1_750_000_000, ITEMS)
    )
    return (tmp_path / "bill.json").read_text()


def test_cyclonedx_accepts_it(tmp_path: Path) -> None:
    problem = JsonStrictValidator(SchemaVersion.V1_5).validate_str(written(tmp_path))
    assert problem is None, problem


def test_every_spdx_name_in_the_table_is_one(tmp_path: Path) -> None:
    """The schema lists SPDX's identifiers: a wrong one is no CycloneDX."""
    names = [*SAME, "GPL-1+", "GPL-2", "LGPL-2+", "LGPL-3", "AGPL-3+", "GFDL-1.3+", "GFDL-NIV-1.2"]
    bill = bill_of_materials("x", "trixie", 0, [Item("x", "1", tuple(names))])
    ids = [entry["license"]["id"] for entry in bill["components"][0]["licenses"]]
    assert len(ids) > 50
    write_bill(tmp_path / "bill.json", bill)
    text = (tmp_path / "bill.json").read_text()
    problem = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    assert problem is None, problem


def test_the_same_release_gives_the_same_bytes(tmp_path: Path) -> None:
    assert written(tmp_path) == written(tmp_path)
    assert json.loads(written(tmp_path))["metadata"]["timestamp"] == "2025-06-15T15:06:40Z"


def test_each_licence_once() -> None:
    (part,) = [p for p in bill_of_materials("x", "trixie", 0, ITEMS)["components"]
               if p["name"] == "systemd"]  # fmt: skip
    assert part["licenses"] == [
        {"license": {"id": "LGPL-2.1-or-later"}}, {"license": {"id": "MIT"}},
    ]  # fmt: skip
    assert part["properties"] == [{"name": "debian:source", "value": "systemd 257.9-1"}]
    assert part["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]


def test_what_spdx_does_not_know_keeps_its_name() -> None:
    assert licence_entry("binary-redist-Realtek") == {"license": {"name": "binary-redist-Realtek"}}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GPL-2+", "GPL-2.0-or-later"), ("GPL-3", "GPL-3.0-only"), ("GPL-2.0+", "GPL-2.0-or-later"),
        ("LGPL-2.1", "LGPL-2.1-only"), ("LGPL-2.1-or-later", "LGPL-2.1-or-later"),
        ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"), ("Expat", "MIT"), ("BSLA", ""),
    ],
)  # fmt: skip
def test_debians_names_and_spdxs(name: str, expected: str) -> None:
    assert spdx_id(name) == expected


def test_package_urls() -> None:
    assert purl(ITEMS[1], "trixie") == (
        "pkg:deb/debian/zlib1g@1%3A1.3.dfsg%2Breally1.3.1-1%2Bb1?arch=amd64&distro=trixie"
    )
    assert purl(ITEMS[2], "trixie") == "pkg:npm/%40scratch/scratch-gui@15.2.0"
