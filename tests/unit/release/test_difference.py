"""What changed between two releases."""

from __future__ import annotations

from provisioner.model.release import Component, Manifest, Minimum, ReleaseFile, ReleaseKind
from provisioner.release.difference import compare
from provisioner.release.summary import summarise


def a_manifest(number: int, components: tuple[Component, ...], digest: str) -> Manifest:
    return Manifest(
        name="lab", version=f"2026.{number}", number=number, kind=ReleaseKind.SYSTEM,
        suite="trixie", architecture="amd64", source_date_epoch=0, recipe_sha256="0" * 64,
        minimum=Minimum(memory_mib=1, disk_mb=1), installed_bytes=100 * number,
        files=(ReleaseFile(path="system.squashfs", size=10 * number, sha256=digest * 64),
               ReleaseFile(path="vmlinuz", size=1, sha256="c" * 64)),
        components=components,
    )  # fmt: skip


def part(name: str, version: str, licence: str = "MIT", origin: str = "debian") -> Component:
    return Component(name=name, version=version, licence=licence, origin=origin)


def test_every_kind_of_change() -> None:
    old = a_manifest(1, (part("acl", "1"), part("bash", "1"), part("curl", "1"),
                         part("dash", "1"), part("same", "1")), "a")  # fmt: skip
    new = a_manifest(2, (part("acl", "2"), part("bash", "1", "GPL-3"), part("dash", "1"),
                         part("dash", "7", origin="npm"), part("same", "1")), "b")  # fmt: skip
    found = compare(old, new)
    assert [(change.name, change.origin, change.kind) for change in found.changes] == [
        ("acl", "debian", "changed"), ("bash", "debian", "relicensed"),
        ("curl", "debian", "removed"), ("dash", "npm", "added"),
    ]  # fmt: skip
    assert found.files == ("system.squashfs",)
    assert (found.old_bytes, found.new_bytes, found.new_installed) == (11, 21, 200)


def test_nothing_changed() -> None:
    one = a_manifest(1, (part("acl", "1"),), "a")
    assert compare(one, one).changes == ()


def test_a_summary_says_what_was_not_measured() -> None:
    found = summarise(a_manifest(1, (part("acl", "1"),), "a"), 2.04, {"start_s": 70.0})
    assert (found["system_bytes"], found["installed_bytes"], found["build_s"]) == (10, 100, 2.0)
    assert found["start_s"] == 70.0
    assert found["idle_memory_mb"] is None
    assert set(found["not_measured"]) == {"idle_memory_mb", "editor_memory_mb"}
    assert found["components"] == [
        {"name": "acl", "version": "1", "licence": "MIT", "origin": "debian"}
    ]
