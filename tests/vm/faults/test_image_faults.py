"""Imaging on disks that fail and lie: the release stands there, byte for byte, or nothing is said.

Places on the disk are those of a first, honest imaging; the same release finds the same places
again. A fault that was not met (the disk counts them) is not written down.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from provisioner.agent import bootloader, growing, image, readback
from provisioner.errors import ProvisionerError
from provisioner.lifecycle import Verb
from provisioner.model.release import (
    INITRD,
    KERNEL,
    LOADER_CORE_IMG,
    LOADER_GRUB,
    LOADER_SHIM,
    SYSTEM,
)
from tests.vm.faults.conftest import MakeDesk
from tests.vm.faults.desk import CARRIED, CLOCKS, DISK_BYTES, MIB, RELEASE, Desk
from tests.vm.faults.ledger import Case, Expected, Ledger, Said
from tests.vm.faults.stubs import KINDS, hurried, of_each, stubbed

pytestmark = pytest.mark.vm
TOOLS = ("sfdisk", "mkfs.ext4", "mkfs.vfat", "fsck.ext4", "mount", "umount", "lsblk", "udevadm")
NEEDED = frozenset({"sfdisk", "mkfs.ext4", "fsck.ext4", "mount", "umount", "lsblk"})
NO, YES, TRUE = Expected.NO_SUCCESS, Expected.SUCCESS, Expected.TRUE


@pytest.fixture(scope="module")
def desk(make_desk: MakeDesk) -> Desk:
    return make_desk()


@pytest.fixture(scope="module")
def places(desk: Desk) -> dict[str, int]:
    """Where each thing lies after an honest imaging: bytes from the start of the disk."""
    fresh(desk)
    assert desk.run_stage(Verb.IMAGE).success
    assert desk.why_not_installed() == []
    folder = desk.station.settings.releases_dir / RELEASE
    found = {
        path: place_of(desk.disk.medium, folder / path)
        for path in (SYSTEM, KERNEL, INITRD, LOADER_CORE_IMG, LOADER_SHIM, LOADER_GRUB)
    }
    starts = {slot.label: slot.start * desk.disk.sector for slot in desk.slots}
    return {**found, "partition table": 0, **{f"start of {k}": v for k, v in starts.items()}}


def place_of(medium: Path, file: Path) -> int:
    """The byte at which a file lies on the medium, in one piece, as cmp confirms."""
    marks, size = file.read_bytes()[:4096], file.stat().st_size
    with medium.open("rb", buffering=0) as disk:
        end, at = medium.stat().st_size, 0
        while True:
            try:
                at = os.lseek(disk.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            stop = os.lseek(disk.fileno(), at, os.SEEK_HOLE)
            data = os.pread(disk.fileno(), min(stop, end) - at, at)
            found = data.find(marks)
            while found >= 0:
                if same(medium, at + found, file, size):
                    return at + found
                found = data.find(marks, found + 1)
            at = stop
    raise AssertionError(f"{file.name} does not lie in one piece")


def same(medium: Path, place: int, file: Path, size: int) -> bool:
    words = ["cmp", "--silent", f"--ignore-initial={place}:0", f"--bytes={size}"]
    return subprocess.run([*words, medium, file], check=False).returncode == 0


def fresh(desk: Desk) -> None:
    """An empty, honest disk."""
    desk.disk.mend()
    with desk.disk.medium.open("r+b") as file:
        file.truncate(0)
        file.truncate(desk.disk.size)


def imaged(
    desk: Desk,
    ledger: Ledger,
    fault: str,
    expected: Expected = TRUE,
    met: bool = True,
    tools: AbstractContextManager[None] | None = None,
) -> Case | None:
    """Image once as the desk stands now, with `tools` that lie; the truth is asked with the real
    ones. Nothing is written down when no fault was met."""
    with tools or contextlib.nullcontext():
        said = desk.run_stage(Verb.IMAGE)
    if not met and not desk.disk.told()["faults"]:
        assert said.success
        return None
    true = desk.why_not_installed() == []
    case = ledger.book(fault, "image", said, true=true, expected=expected)
    assert case.as_expected, (case, desk.why_not_installed())
    return case


PLACES = ("partition table", "start of bios", "start of ESP", "start of system", "start of state",
          SYSTEM, KERNEL, LOADER_CORE_IMG, LOADER_SHIM)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        pytest.param(kind, place, marks=[pytest.mark.long] if number % 3 and kind != "drop" else [])
        for kind in ("eio-read", "eio-write", "drop")
        for number, place in enumerate(PLACES)
    ],
)
def test_blocks_that_fail_or_forget(
    desk: Desk, places: dict[str, int], ledger: Ledger, kind: str, place: str
) -> None:
    fresh(desk)
    at = places[place] + (4096 if place in (SYSTEM, KERNEL) else 0)
    desk.disk.rule(kind, start=at, stop=at + 512)
    names = {"eio-read": "read error", "eio-write": "write error", "drop": "lying write"}
    imaged(desk, ledger, f"{names[kind]}: {place}", met=False)


@pytest.mark.parametrize("of_1000", [1000, 100, 30])
@pytest.mark.parametrize("since", [0, 4])
def test_writes_that_are_confirmed_and_forgotten(
    desk: Desk, places: dict[str, int], ledger: Ledger, of_1000: int, since: int
) -> None:
    fresh(desk)
    desk.disk.rule("share", of_1000=of_1000, since=since)
    imaged(desk, ledger, f"lying write: {of_1000 / 10:g} % of all after flush {since}", met=False)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(60))
def test_a_few_forgotten_writes(
    desk: Desk, places: dict[str, int], ledger: Ledger, seed: int
) -> None:
    """So few that they may hit nothing but a file system's own tables."""
    fresh(desk)
    desk.disk.rule("share", of_1000=5 + seed % 20, seed=seed)
    imaged(desk, ledger, f"lying write, few: {0.5 + seed % 20 / 10} %, seed {seed}", met=False)


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(MIB * 64, marks=pytest.mark.long), 1 << 30,
        *(pytest.param(n, marks=pytest.mark.long) for n in (1_500_000_256, DISK_BYTES - 512)),
    ],
)  # fmt: skip
def test_a_disk_that_claims_to_be_larger(desk: Desk, ledger: Ledger, size: int) -> None:
    """Two partitions may lie on the same blocks and be right until they are used. The stage
    before finds it: no machine is imaged whose disk was not wiped with proof."""
    fresh(desk)
    desk.disk.rule("wrap", size=size)
    robot = desk.machine(Verb.WIPE)
    assert not desk.carry_out(robot, Verb.WIPE).success
    said = desk.carry_out(robot, Verb.IMAGE)
    true = desk.why_not_installed() == []
    case = ledger.book(f"lying write: {size} bytes that claim to be 3 GB", "image", said,
                       true=true, expected=NO)  # fmt: skip
    assert case.as_expected, case


@pytest.mark.parametrize(
    "share", [0.5, 0.99, *(pytest.param(n / 100, marks=pytest.mark.long) for n in (1, 25, 75, 90))]
)
def test_power_cuts(desk: Desk, ledger: Ledger, share: float) -> None:
    fresh(desk)
    assert desk.run_stage(Verb.IMAGE).success
    whole = desk.disk.told()["written"]
    fresh(desk)
    desk.disk.rule("off", after=int(whole * share))
    imaged(desk, ledger, f"power cut: at {share:.0%}", NO)
    desk.disk.mend()
    said = desk.run_stage(Verb.IMAGE)
    assert said.success and desk.why_not_installed() == [], "the next start does it wholly"


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_links_that_are_lost(desk: Desk, ledger: Ledger, share: float) -> None:
    """The station falls silent in the middle of the system image; later it is back."""
    fresh(desk)
    desk.files.cut_after = int(3_000_000 * share)
    try:
        case = imaged(desk, ledger, f"link lost: at {share:.0%}", NO)
    finally:
        desk.files.cut_after = None
    assert case is not None
    assert case.said.words.startswith("interrupted"), "the machine is not at fault"
    said = desk.run_stage(Verb.IMAGE)
    assert said.success and desk.why_not_installed() == []


@pytest.mark.parametrize(("tools", "kind"), of_each(TOOLS, "exits 0"))
def test_stubs(desk: Desk, ledger: Ledger, tools: tuple[str, ...], kind: str) -> None:
    fresh(desk)
    name = tools[0] if len(tools) == 1 else "all tools"
    expected = NO if NEEDED & {*tools} else TRUE
    with hurried(desk, 1.5):
        stubs = stubbed(tools, KINDS[kind])
        imaged(desk, ledger, f"stub, {name}: {kind}", expected, tools=stubs)


@pytest.mark.parametrize(
    "year", [pytest.param(y, marks=[] if y == "1970" else [pytest.mark.long]) for y in CLOCKS]
)
def test_clocks(desk: Desk, ledger: Ledger, year: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh(desk)
    monkeypatch.setattr(desk, "clock", CLOCKS[year])
    imaged(desk, ledger, f"the machine's clock: {year}", YES)


def test_bits_that_rotted_on_the_station(desk: Desk, ledger: Ledger) -> None:
    """What is served is not what was signed."""
    fresh(desk)
    path = desk.station.settings.releases_dir / RELEASE / SYSTEM
    right = path.read_bytes()
    path.write_bytes(right[:1_000_000] + bytes([right[1_000_000] ^ 1]) + right[1_000_001:])
    try:
        said = desk.run_stage(Verb.IMAGE)
        case = ledger.book("bit rot in the served release", "image", said, true=False, expected=NO)
    finally:
        path.write_bytes(right)
    assert case.as_expected, case


def smallest_disk(system_bytes: int) -> int:
    """By the rules of docs and layout, in MiB steps: 2 + 512 + three images and 512 + 1024 + 1."""
    need = (3 * system_bytes + 512 * MIB) // MIB
    return (2 + 512 + need + 1024 + 1) * MIB


@pytest.mark.parametrize(("change", "expected"), [(0, YES), (-512, NO)])
def test_sizes(make_desk: MakeDesk, ledger: Ledger, change: int, expected: Expected) -> None:
    size = smallest_disk(3_000_000)
    desk = make_desk(size + change)
    imaged(desk, ledger, f"disk size: {'one sector too small' if change else 'just enough'}",
           expected)  # fmt: skip
    if change:
        assert desk.disk.medium.stat().st_blocks == 0, "refused before a byte was written"


@pytest.mark.parametrize("release", [RELEASE, CARRIED])
def test_sectors_of_4096_bytes(make_desk: MakeDesk, ledger: Ledger, release: str) -> None:
    desk = make_desk(sector=4096)
    desk.release = release
    imaged(desk, ledger, f"sectors: 4096 bytes, {release}", YES)


# Bit flips, one at a time, in what was written and before it is read back


def test_bit_flips(desk: Desk, places: dict[str, int], ledger: Ledger) -> None:
    assert flips(desk, places, ledger, 60, 20, seed=1) == 80


@pytest.mark.long
def test_all_of_a_thousand_bit_flips(desk: Desk, places: dict[str, int], ledger: Ledger) -> None:
    assert flips(desk, places, ledger, 840, 80, seed=2) == 920


@pytest.mark.long
def test_all_of_a_thousand_bit_flips_while_it_grows(desk: Desk, ledger: Ledger) -> None:
    assert growing_flips(desk, ledger, 1000, seed=4) == 1000


def flips(
    desk: Desk, places: dict[str, int], ledger: Ledger, files: int, sectors: int, seed: int
) -> int:
    """One imaging; its read-back is done again for each flipped bit, which is then mended."""
    chance = random.Random(seed)
    folder = desk.station.settings.releases_dir / RELEASE
    names = [SYSTEM, KERNEL, INITRD, LOADER_SHIM, LOADER_GRUB]
    sizes = [(folder / name).stat().st_size for name in names]
    counted: list[bool] = []

    def look(honest: Callable[[], object], where: str, byte: int, file: Path, start: int) -> None:
        bit = chance.randrange(8)
        desk.disk.flip(byte, bit)
        try:
            said = told(honest)
            true = same(desk.disk.medium, start, file, file.stat().st_size)
        finally:
            desk.disk.flip(byte, bit)
        case = ledger.book(
            f"bit flip: bit {bit} of {where} + {byte - start}",
            "image",
            said,
            true=true,
            expected=NO,
        )
        counted.append(case.as_expected)

    def in_files(*words: Any) -> object:
        for name in chance.choices(names, weights=[size**0.5 for size in sizes], k=files):
            start = place_of(desk.disk.medium, folder / name)
            byte = start + chance.randrange((folder / name).stat().st_size)
            look(lambda: read_back(*words), name, byte, folder / name, start)
        return read_back(*words)

    def in_sectors(disk: Path, start: int, data: bytes) -> object:
        file = desk.folder / "sectors"
        file.write_bytes(data)
        for _ in range(sectors // 2):
            byte = start + chance.randrange(len(data))
            look(lambda: proved(disk, start, data), f"sector {start // 512}", byte, file, start)
        return proved(disk, start, data)

    read_back, proved = readback.read_back, bootloader._proved
    fresh(desk)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image, "read_back", in_files)
        patch.setattr(bootloader, "_proved", in_sectors)
        assert desk.run_stage(Verb.IMAGE).success, "every bit was mended again"
    assert desk.why_not_installed() == []
    return sum(counted)


def growing_flips(desk: Desk, ledger: Ledger, count: int, seed: int) -> int:
    """The same for what is proved while it grows; every piece is read, not samples."""
    chance = random.Random(seed)
    counted: list[bool] = []
    known: dict[int, int] = {}
    end = growing.GrowingProof.end

    def flip_and_end(proof: growing.GrowingProof) -> bool:
        work = proof._work
        assert work is not None
        if work.entry.path == SYSTEM and not counted:
            content = (desk.station.settings.releases_dir / CARRIED / SYSTEM).read_bytes()
            block = desk.folder / "block"
            for _ in range(count):
                # Pieces come in any order, so the file may lie in several places.
                at = chance.randrange(len(content) // 4096) * 4096
                block.write_bytes(content[at : at + 4096])
                start = known.get(at) or place_of(desk.disk.medium, block)
                known[at] = start
                byte, bit = chance.randrange(4096), chance.randrange(8)
                desk.disk.flip(start + byte, bit)
                again = growing.GrowingProof()
                again.begin(work.path, work.entry)
                said = told(functools.partial(end, again))
                true = same(desk.disk.medium, start, block, 4096)
                again.drop()
                desk.disk.flip(start + byte, bit)
                case = ledger.book(f"bit flip, while it grows: bit {bit} of byte {at + byte}",
                                   "image", said, true=true, expected=NO)  # fmt: skip
                counted.append(case.as_expected)
        return end(proof)

    fresh(desk)
    with pytest.MonkeyPatch.context() as patch, carried(desk):
        patch.setattr(growing.GrowingProof, "end", flip_and_end)
        patch.setattr(growing, "PATIENCE_S", 0.02)
        patch.setattr(growing, "PAUSE_S", 0.01)
        assert desk.run_stage(Verb.IMAGE).success, "every bit was mended again"
        assert desk.why_not_installed() == []
    return sum(counted)


@contextlib.contextmanager
def carried(desk: Desk) -> Iterator[None]:
    """The release that has a torrent."""
    desk.release = CARRIED
    try:
        yield
    finally:
        desk.release = RELEASE


def told(look: Callable[[], object]) -> Said:
    """What the agent's own proof says: an error, or that all is as it should be."""
    try:
        found = look()
    except (ProvisionerError, OSError) as error:
        return Said(False, f"{type(error).__name__}: {error}")
    return Said(bool(found), "success" if found else "read anew")
