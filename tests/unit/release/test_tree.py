"""What leaves a tree and what stays in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.release import tree as trees
from provisioner.release.tree import (
    clean,
    copy_files,
    exclude,
    installed_bytes,
    kernel_version,
    module_order,
    prune_modules,
)

VERSION = "6.12.1-amd64"
DEPENDS = """\
kernel/drivers/net/e1000.ko.xz:
kernel/drivers/gpu/tiny/bochs.ko.xz: kernel/drivers/gpu/drm.ko.xz kernel/lib/fb.ko.xz
kernel/drivers/gpu/drm.ko.xz: kernel/lib/fb.ko.xz
kernel/drivers/gpu/amd/amdgpu.ko.xz: kernel/drivers/gpu/drm.ko.xz
kernel/lib/fb.ko.xz:
kernel/drivers/block/my-loop.ko.xz: kernel/drivers/gpu/drm.ko.xz kernel/lib/fb.ko.xz
"""


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def names(root: Path) -> set[str]:
    found = (path for path in root.rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.relative_to(root).as_posix() for path in found}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    base = tmp_path / "usr/lib/modules" / VERSION
    put(base, *(line.partition(":")[0] for line in DEPENDS.splitlines()))
    (base / "modules.dep").write_text(DEPENDS)
    monkeypatch.setattr(trees, "run_inside", lambda *_, **__: None)
    return base


def test_exclude_spares_what_is_kept(tmp_path: Path) -> None:
    put(tmp_path, "usr/share/doc/a/copyright", "usr/share/doc/a/changelog", "usr/share/doc/b/x",
        "usr/bin/a")  # fmt: skip
    (tmp_path / "usr/share/doc/c").symlink_to("a")
    exclude(tmp_path, ["usr/share/doc/**"], ["usr/share/doc/*", "usr/share/doc/*/copyright"])
    assert names(tmp_path) == {"usr/share/doc/a/copyright", "usr/share/doc/c", "usr/bin/a"}
    assert not (tmp_path / "usr/share/doc/b").exists()


def test_exclude_never_follows_a_link_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    put(outside, "precious")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(outside)
    exclude(root, ["link/**", "link"], [])
    assert (outside / "precious").exists()
    assert not (root / "link").is_symlink()


def test_clean_leaves_nothing_that_two_machines_would_share(tmp_path: Path) -> None:
    put(tmp_path, "etc/ssh/ssh_host_rsa_key", "etc/ssh/sshd_config", "etc/machine-id",
        "var/log/dpkg.log", "var/lib/systemd/random-seed", "etc/resolv.conf", "tmp/x",
        "var/lib/apt/lists/x", "boot/vmlinuz", "etc/apt/apt.conf.d/99mmdebstrap")  # fmt: skip
    clean(tmp_path)
    assert names(tmp_path) == {"etc/ssh/sshd_config", "etc/machine-id"}
    assert (tmp_path / "etc/machine-id").read_text() == ""
    assert (tmp_path / "tmp").stat().st_mode & 0o7777 == 0o1777


def test_copied_files_are_plain_or_executable(tmp_path: Path) -> None:
    source, root = tmp_path / "files", tmp_path / "root"
    put(source, "etc/a", "usr/bin/b")
    (source / "usr/bin/b").chmod(0o700)
    (source / "etc/a").chmod(0o600)
    (source / "etc/link").symlink_to("a")
    (root / "etc").mkdir(parents=True)
    (root / "etc/a").symlink_to("/dev/null")
    copy_files(source, root)
    assert not (root / "etc/a").is_symlink()
    assert (root / "etc/a").stat().st_mode & 0o777 == 0o644
    assert (root / "usr/bin/b").stat().st_mode & 0o777 == 0o755
    assert (root / "etc/link").readlink() == Path("a")


def test_a_kept_module_keeps_what_it_needs(modules: Path, tmp_path: Path) -> None:
    prune_modules(tmp_path, ["drivers/gpu/tiny", "drivers/net"], [])
    assert names(modules / "kernel") == {
        "drivers/net/e1000.ko.xz", "drivers/gpu/tiny/bochs.ko.xz", "drivers/gpu/drm.ko.xz",
        "lib/fb.ko.xz",
    }  # fmt: skip


def test_dropped_folders_go_unless_needed(modules: Path, tmp_path: Path) -> None:
    prune_modules(tmp_path, ["**"], ["drivers/gpu", "drivers/net/e1000.ko*"])
    assert names(modules / "kernel") == {
        "lib/fb.ko.xz", "drivers/block/my-loop.ko.xz", "drivers/gpu/drm.ko.xz",
    }  # fmt: skip


def test_modules_in_the_order_of_their_needs(modules: Path, tmp_path: Path) -> None:
    assert module_order(tmp_path, VERSION, ["my_loop", "bochs"]) == [
        "kernel/lib/fb.ko.xz",
        "kernel/drivers/gpu/drm.ko.xz",
        "kernel/drivers/block/my-loop.ko.xz",
        "kernel/drivers/gpu/tiny/bochs.ko.xz",
    ]


def test_kernel(modules: Path, tmp_path: Path) -> None:
    assert kernel_version(tmp_path) == VERSION


def test_hard_links_count_once(tmp_path: Path) -> None:
    put(tmp_path, "a")
    (tmp_path / "a").write_bytes(b"x" * 10)
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to("a")
    assert installed_bytes(tmp_path) == 10
