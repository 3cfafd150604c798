"""The file tree of a release: what is taken out of it, what is put into it.

Works on a folder that holds the whole system, as root, and never follows a link out of it.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from provisioner.release.boxed import run_inside
from provisioner.release.patterns import compile_patterns

MODULES = Path("usr/lib/modules")
# Seconds of work; a station that does much else meanwhile may need a hundred times as long.
DEPMOD_S = 1800
# Made anew on each machine, or of no use there. Folders stay, what is in them goes.
EMPTIED = (
    "dev",
    "proc",
    "run",
    "sys",
    "tmp",
    "var/tmp",
    "var/log",
    "var/lib/apt/lists",
    "var/cache/apt",
)
REMOVED = (
    "boot/*",
    "etc/ssh/ssh_host_*",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    "etc/.pwd.lock",
    "etc/brlapi.key",  # made by chance when brltty is installed: the same on all machines
    "etc/hostname",  # the station's, copied by mmdebstrap, as
    "etc/resolv.conf",  # is this
    "root/.*_history",
    "var/cache/ldconfig/aux-cache",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/*-old",
    "var/lib/dpkg/lock*",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
)


def walk(root: Path) -> Iterator[Path]:
    """Everything below `root` in a fixed order, children before their folder."""
    with os.scandir(root) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from walk(Path(entry.path))
        yield Path(entry.path)


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder; nothing when it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def exclude(root: Path, patterns: Iterable[str], keep: Iterable[str]) -> None:
    """Remove what `patterns` name unless `keep` names it too; folders left empty go as well."""
    out, kept = compile_patterns(patterns), compile_patterns(keep)
    for path in list(walk(root)):
        name = path.relative_to(root).as_posix()
        if not out.fullmatch(name):
            continue
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif not kept.fullmatch(name):
            path.unlink()


def clean(root: Path) -> None:
    """Remove what the build left and what no two machines may share."""
    for name in EMPTIED:
        folder = root / name
        if folder.is_dir():
            for path in folder.iterdir():
                remove(path)
        else:
            folder.mkdir(parents=True)
    for pattern in REMOVED:
        for path in root.glob(pattern):
            remove(path)
    (root / "tmp").chmod(0o1777)
    (root / "var/tmp").chmod(0o1777)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)
    # Empty, not missing: systemd then makes a new one without treating each start as the first.
    (root / "etc/machine-id").write_text("")


def installed_bytes(root: Path) -> int:
    """The sum of all file sizes, each hard-linked file counted once."""
    sizes = {
        (info.st_dev, info.st_ino): info.st_size
        for info in (path.lstat() for path in walk(root))
        if stat.S_ISREG(info.st_mode)
    }
    return sum(sizes.values())


def kernel_version(root: Path) -> str:
    """The one kernel in the tree, for example 6.12.48+deb13-amd64; FileNotFoundError if none."""
    versions = sorted(path.name for path in (root / MODULES).iterdir())
    if not versions:
        raise FileNotFoundError("the tree has no kernel")
    return versions[-1]


def prune_modules(root: Path, keep: Iterable[str], drop: Iterable[str]) -> None:
    """Leave the kernel modules of the kept folders and what those need; renew depmod's tables."""
    version = kernel_version(root)
    base = root / MODULES / version
    kept = compile_patterns(f"kernel/{name}{end}" for name in keep for end in ("", "/**"))
    dropped = compile_patterns(f"kernel/{name}{end}" for name in drop for end in ("", "/**"))
    needs = module_needs(root, version)
    wanted = {path for path in needs if kept.fullmatch(path) and not dropped.fullmatch(path)}
    wanted |= {need for path in wanted for need in needs[path]}
    for path in list(walk(base / "kernel")):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(base).as_posix() not in wanted:
            path.unlink()
    run_inside(root, "depmod", "-a", version, timeout_s=DEPMOD_S)


def module_needs(root: Path, version: str) -> dict[str, list[str]]:
    """Each module's path below its version's folder, and the paths of all that it needs."""
    table = (root / MODULES / version / "modules.dep").read_text()
    lines = (line.partition(":") for line in table.splitlines())
    return {path: rest.split() for path, _, rest in lines}


def copy_files(source: Path, root: Path) -> None:
    """Copy our own files over the tree: owned by root, folders 0755, files 0644 or 0755."""
    for path in sorted(source.rglob("*")):
        target = root / path.relative_to(source)
        if path.is_symlink():
            remove(target)
            target.symlink_to(path.readlink())
        elif path.is_dir():
            target.mkdir(exist_ok=True)
        else:
            if target.is_symlink():
                target.unlink()
            shutil.copyfile(path, target)
            target.chmod(0o755 if os.access(path, os.X_OK) else 0o644)


def module_order(root: Path, version: str, names: Iterable[str]) -> list[str]:
    """Paths of the named modules (below the version's folder), dependencies first."""
    needs = module_needs(root, version)
    by_name = {_module_name(path): path for path in needs}
    order: list[str] = []
    for name in names:
        for path in (*reversed(needs[by_name[name]]), by_name[name]):
            if path not in order:
                order.append(path)
    return order


def _module_name(path: str) -> str:
    return Path(path).name.partition(".ko")[0].replace("-", "_")
