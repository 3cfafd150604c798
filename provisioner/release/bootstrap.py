"""From packages to a file tree: mmdebstrap, once for each set of packages.

The tree is kept as a tar archive under the digests of its packages, so that a build that
changes only our own files starts from there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import ProofMissingError, StationError
from provisioner.release.boxed import boxed
from provisioner.release.cache import Cache, key_of
from provisioner.release.packages import ARCHITECTURE, Packages
from provisioner.release.progress import Report, silent, watched
from provisioner.release.repository import make_repository
from provisioner.run import run

BOOTSTRAP_S, UNPACK_S = 3 * 3600, 1800
# Part of the key: raise it when the way a tree is made changes.
GENERATION = 2
STATUS = Path("var/lib/dpkg/status")
INSTALLING = "Installing packages into a tree"
# A constant for mmdebstrap's own shell, which puts the tree's path into $1.
_ANSWER = 'chroot "$1" debconf-set-selections /tmp/answers'


@dataclass(frozen=True)
class TreePlan:
    """What to make besides the packages: mmdebstrap's variant, the suite, debconf's answers."""

    variant: str
    suite: str
    answers: tuple[str, ...] = ()


def ensure_tree(plan: TreePlan, packages: Packages, cache: Cache, report: Report = silent) -> Path:
    """The archive of the tree with these packages in it, and no others.

    `report` is called when it takes long, with how much of it is done. Raises StationError for
    a damaged package, CommandError when mmdebstrap fails.
    """

    def make(out: Path) -> None:
        _check_digests(packages)
        with cache.workspace() as work:
            archive = work / "tree.tar.zst"
            command = _command(plan, packages, work, archive)
            with watched(report, INSTALLING, lambda: _installed_share(work, len(packages.debs))):
                env = {"SOURCE_DATE_EPOCH": str(packages.epoch), "TMPDIR": str(work)}
                run(boxed(*command, env=env), timeout_s=BOOTSTRAP_S)
            archive.rename(out)

    return cache.entry("trees", key_of(GENERATION, plan, packages.key, packages.sources), make)


def unpack(archive: Path, into: Path) -> None:
    """Unpack a tree with owners, modes, dates and capabilities as they were."""
    into.mkdir(parents=True)
    run(
        [
            "tar", "--extract", "--zstd", "--file", archive, "--directory", into,
            "--numeric-owner", "--preserve-permissions", "--xattrs", "--xattrs-include=*",
        ],
        timeout_s=UNPACK_S,
    )  # fmt: skip


def check_installed(root: Path, packages: Packages) -> dict[str, str]:
    """Names and versions that dpkg says are installed, proved to be just the resolved ones.

    Raises ProofMissingError: the archive may have moved on between resolving and installing.
    """
    installed = parse_status((root / STATUS).read_text())
    wanted = dict(name_and_version(deb.file) for deb in packages.debs)
    if installed != wanted:
        odd = sorted(set(installed.items()) ^ set(wanted.items()))[:6]
        raise ProofMissingError(
            f"The tree does not hold the packages that were resolved: {odd}.",
            "Debian's archive may just have changed; build again.",
        )
    return installed


def parse_status(text: str) -> dict[str, str]:
    """Installed packages and versions, from dpkg's status file."""
    found: dict[str, str] = {}
    for stanza in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if _is_field(line))
        if fields.get("Status") == "install ok installed":
            found[fields["Package"]] = fields["Version"]
    return found


def name_and_version(file: str) -> tuple[str, str]:
    """From the name of a file in apt's cache: base-files_1%3a13.8_amd64.deb."""
    name, version, _ = file.split("_")
    return name, version.replace("%3a", ":")


def _command(plan: TreePlan, packages: Packages, work: Path, archive: Path) -> list[str | Path]:
    """mmdebstrap, from a repository of our own that holds just these packages.

    It needs no network and asks no archive that may have moved on; the tree's own apt gets the
    sources that the packages came from.
    """
    repository = make_repository(packages, plan.suite, work / "repository")
    sources = work / "sources.list"
    sources.write_text("".join(f"{line}\n" for line in packages.sources))
    names = ",".join(name_and_version(deb.file)[0] for deb in packages.debs)
    command: list[str | Path] = [
        "mmdebstrap", "--mode=root", f"--variant={plan.variant}",
        f"--architectures={ARCHITECTURE}", f"--include={names}",
        '--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io",
        f"--customize-hook=upload {sources} /etc/apt/sources.list",
    ]  # fmt: skip
    if plan.answers:
        answers = work / "answers"
        answers.write_text("".join(f"{line}\n" for line in plan.answers))
        command += [f"--essential-hook=copy-in {answers} /tmp", f"--essential-hook={_ANSWER}"]
    return [*command, plan.suite, archive, repository]


def _installed_share(work: Path, count: int) -> float:
    """How much of the tree is there: half for unpacking the packages, half for setting them up."""
    dpkg = next(work.glob("mmdebstrap.*/var/lib/dpkg"))
    unpacked = sum(1 for _ in dpkg.glob("info/*.list"))
    ready = (dpkg / "status").read_text(errors="replace").count("\nStatus: install ok installed")
    return (unpacked + ready) / (2 * max(count, 1))


def _check_digests(packages: Packages) -> None:
    """apt trusts a file in its cache by its size; so look ourselves."""
    for deb, path in zip(packages.debs, packages.paths, strict=True):
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != deb.sha256:
                path.unlink()
                raise StationError(
                    f"{deb.file} in the cache is damaged; it was removed.", "Build again."
                )


def _is_field(line: str) -> bool:
    return ": " in line and not line.startswith(" ")
