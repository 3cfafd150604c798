"""Nothing acknowledged is lost, whatever is cut at whichever step."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner.entry.keeping import Keeping
from provisioner.entry.receipt import code_of, read_code
from provisioner.entry.refusal import EntryRefusedError
from provisioner.errors import ProvisionerError, UnreachableError, UntrustedError, WrongStateError
from provisioner.handin import courier, stick
from provisioner.handin.box import Box
from provisioner.model.entry import HandIn, Held, Keeper, Receipt
from provisioner.model.signed import open_envelope
from tests.unit.handin.conftest import KEY, PUPIL, TEACHER, open_box, open_keeping


class PowerCutError(BaseException):
    """The machine is off: nothing of ours runs any more."""


class Disk:
    """Counts every step that reaches the disk, and cuts the power before step number `at`."""

    STEPS = ("open", "write", "pwrite", "fsync", "replace")

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count, self.at = 0, -1
        for name in self.STEPS[:-1]:
            patch.setattr(os, name, self._cutting(getattr(os, name)))
        patch.setattr(Path, "replace", self._cutting(Path.replace))

    def _cutting(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **named: Any) -> Any:
            self.count += 1
            if self.count == self.at:
                raise PowerCutError
            return call(*args, **named)

        return step

    def cuts(self, most: int = 400) -> Iterator[int]:
        """One number after another, until a run gets through uncut."""
        for at in range(1, most):
            self.count, self.at = 0, at
            yield at
            if self.count < at:
                return
        raise AssertionError("it never ended")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_a_receipt_means_that_it_is_on_the_disk(box: Box, game: bytes) -> None:
    entry = box.hand_in(game, PUPIL, "我的游戏")
    again = next(iter(open_box(box.folder).all()))
    assert again.hand_in == entry.hand_in
    assert again.path.read_bytes() == game
    assert read_code(entry.code.lower().replace("-", " ")) == entry.code
    assert entry.hand_in.sequence == 1


def test_pressing_twice_is_one_entry(box: Box, game: bytes) -> None:
    first = box.hand_in(game, PUPIL, "我的游戏")
    assert box.hand_in(game, PUPIL, "我的游戏").code == first.code
    other = box.hand_in(game, PUPIL.model_copy(update={"name": "李四"}), "我的游戏")
    assert other.code != first.code
    assert [entry.hand_in.sequence for entry in box.all()] == [1, 2]


def test_what_is_no_game_is_not_taken(box: Box) -> None:
    with pytest.raises(EntryRefusedError):
        box.hand_in(b"MZ", PUPIL, "x")
    assert list(box.all()) == []
    assert list((box.folder / "entries").iterdir()) == []


def test_power_cut_at_every_step_of_handing_in(tmp_path: Path, game: bytes, disk: Disk) -> None:
    acknowledged = 0
    for at in disk.cuts():
        folder = tmp_path / str(at)
        box = open_box(folder)
        try:
            code = box.hand_in(game, PUPIL, "x").code
        except PowerCutError:
            code = ""
        disk.at = -1
        found = list(open_box(folder).all())
        if code:
            acknowledged += 1
            assert [entry.code for entry in found] == [code]
        assert all(entry.path.read_bytes() == game for entry in found)
        assert open_box(folder).hand_in(game, PUPIL, "x").path.read_bytes() == game
        assert not list(folder.rglob("*.part"))
    assert acknowledged == 1
    assert disk.count >= 8


def test_the_disk_is_told_before_the_pupil(box: Box, game: bytes, monkeypatch: pytest.MonkeyPatch,
                                           ) -> None:  # fmt: skip
    """The order that a power cut cannot turn: bytes, name, paper, name; each flushed."""
    said: list[str] = []
    rename = Path.replace

    def fsync(handle: int) -> None:
        said.append("flush " + Path(f"/proc/self/fd/{handle}").readlink().name[:9])

    def replace(path: Path, target: Path) -> Path:
        said.append("name " + target.parent.name)
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    entry = box.hand_in(game, PUPIL, "x").hand_in
    assert said == [f"flush .{entry.sha256[:8]}", "name entries", "flush entries",
                    f"flush .{entry.id[:8]}", "name hand-ins", "flush hand-ins"]  # fmt: skip


class Wire:
    """A line to a keeper that is cut before or after the other side has heard call number `at`."""

    def __init__(self, keeping: Keeping, at: int = -1, *, after: bool = False) -> None:
        self._keeping, self._at, self._after, self.calls = keeping, at, after, 0

    def begin(self, sealed: str) -> Held:
        return self._through(lambda: self._keeping.begin(sealed))

    def take(self, entry_id: str, offset: int, data: bytes) -> Held:
        return self._through(lambda: self._keeping.take(entry_id, offset, data))

    def _through(self, call: Callable[[], Held]) -> Held:
        self.calls += 1
        if self.calls == self._at and not self._after:
            raise UnreachableError("cut")
        answer = call()
        if self.calls == self._at:
            raise UnreachableError("cut")
        return answer


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "PIECE", 700)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("after", [False, True])
def test_a_line_cut_at_every_call_resumes(box: Box, home: Keeping, game: bytes, after: bool,
                                          ) -> None:  # fmt: skip
    box.hand_in(game, PUPIL, "x")
    sent = 0
    for at in range(1, 40):
        # Each time one piece arrives: its answer is lost, or the next one is.
        wire = Wire(home, at=2 if after else 3, after=after)
        sent = at
        try:
            assert courier.bring_all(box, Keeper.STATION, wire) == 1
            break
        except UnreachableError:
            assert box.waiting(Keeper.STATION)
    assert sent > 5
    assert box.waiting(Keeper.STATION) == []
    kept = home.kept()
    assert [entry.path.read_bytes() for entry in kept] == [game]
    assert courier.bring_all(box, Keeper.STATION, Wire(home)) == 0


@pytest.mark.usefixtures("small_pieces")
def test_power_cut_at_every_step_of_keeping(box: Box, tmp_path: Path, game: bytes, disk: Disk,
                                            ) -> None:  # fmt: skip
    disk.at = -1
    entry = box.hand_in(game, PUPIL, "x")
    for at in disk.cuts():
        folder = tmp_path / f"home-{at}"
        wire = Wire(open_keeping(folder))
        disk.count = 0
        receipt = None
        try:
            held = wire.begin(entry.sealed)
            while held.receipt is None:
                held = wire.take(entry.hand_in.id, held.have, game[held.have : held.have + 700])
            receipt = held.receipt
        except PowerCutError:
            pass
        disk.at = -1
        home = open_keeping(folder)
        if receipt:
            assert [kept.path.read_bytes() for kept in home.kept()] == [game]
        held = home.begin(entry.sealed)
        while held.receipt is None:
            held = home.take(entry.hand_in.id, held.have, game[held.have : held.have + 700])
        assert [kept.path.read_bytes() for kept in home.kept()] == [game]
        disk.at = at
    assert disk.count > 20


def test_stored_twice_in_the_classroom(box: Box, teacher: Keeping, game: bytes) -> None:
    box.hand_in(game, PUPIL, "x")
    courier.bring_all(box, Keeper.TEACHER, Wire(teacher))
    entry = next(iter(box.all()))
    assert (entry.teacher, entry.station) == (True, False)


def test_receipts_count_only_from_whom_they_should_be(box: Box, teacher: Keeping, game: bytes,
                                                      ) -> None:  # fmt: skip
    entry = box.hand_in(game, PUPIL, "x")
    receipt = Receipt(id=entry.hand_in.id, sha256=entry.hand_in.sha256, keeper=Keeper.STATION,
                      at=entry.hand_in.clock)  # fmt: skip
    for sealed, keeper in (
        (KEY.seal(receipt), Keeper.STATION),
        (TEACHER.seal(receipt), Keeper.TEACHER),
        (TEACHER.seal(receipt), Keeper.STATION),
        ("{}", Keeper.STATION),
    ):
        with pytest.raises(UntrustedError):
            box.acknowledged(keeper, sealed)
    assert box.waiting(Keeper.STATION)


def test_bytes_that_were_not_signed_are_asked_for_again(box: Box, home: Keeping, game: bytes,
                                                        ) -> None:  # fmt: skip
    entry = box.hand_in(game, PUPIL, "x")
    home.begin(entry.sealed)
    held = home.take(entry.hand_in.id, 0, bytes(len(game)))
    assert (held.have, held.receipt) == (0, None)
    assert home.take(entry.hand_in.id, 0, game).receipt


def test_nobody_writes_outside_of_an_entry(box: Box, home: Keeping, game: bytes) -> None:
    entry = box.hand_in(game, PUPIL, "x")
    with pytest.raises(WrongStateError):
        home.take("../../../etc/passwd", 0, b"x")
    home.begin(entry.sealed)
    for offset, data in ((-1, b"x"), (len(game), b"x"), (0, game + b"x")):
        with pytest.raises(WrongStateError):
            home.take(entry.hand_in.id, offset, data)
    for path in ("../evil", "a" * 31, "A" * 32):
        with pytest.raises(ValueError, match="id"):
            HandIn.model_validate({**entry.hand_in.model_dump(), "id": path})


def test_a_changed_paper_is_refused(box: Box, home: Keeping, game: bytes) -> None:
    entry = box.hand_in(game, PUPIL, "x")
    home.begin(entry.sealed)
    other = KEY.seal(entry.hand_in.model_copy(update={"title": "y"}))
    with pytest.raises(UntrustedError, match="Another entry"):
        home.begin(other)
    with pytest.raises(UntrustedError):
        home.begin(entry.sealed.replace('payload":"e', 'payload":"f'))


def test_a_stick_there_and_back(box: Box, home: Keeping, game: bytes, tmp_path: Path) -> None:
    box.hand_in(game, PUPIL, "x")
    box.hand_in(game, PUPIL.model_copy(update={"name": "李四"}), "y")
    media = tmp_path / "stick"
    media.mkdir()
    assert stick.export(((e.sealed, e.path) for e in box.waiting(Keeper.STATION)), media) == 2
    assert stick.bring_in(media, home) == stick.Carried(2)
    assert stick.bring_in(media, home) == stick.Carried(2)
    assert stick.receipts(media, box) == 2
    assert box.waiting(Keeper.STATION) == []
    assert len(home.kept()) == 2


def test_a_hostile_stick_brings_nothing(box: Box, home: Keeping, game: bytes, tmp_path: Path,
                                        ) -> None:  # fmt: skip
    entry = box.hand_in(game, PUPIL, "x")
    media = tmp_path / "stick"
    media.mkdir()
    stick.export([(entry.sealed, entry.path)], media)
    folder = media / stick.FOLDER
    (folder / f"{'1' * 32}.json").write_text("{}")
    (folder / f"{'2' * 32}.json").write_text("x" * 20_000)
    (folder / f"{'3' * 32}.json").symlink_to("/etc/passwd")
    (folder / "..json").write_text("{}")
    bytes_there = folder / f"{entry.hand_in.sha256}.sb3"
    bytes_there.write_bytes(game[:-1] + b"?")
    carried = stick.bring_in(media, home)
    assert (carried.whole, len(carried.problems)) == (0, 3)
    bytes_there.unlink()
    bytes_there.symlink_to("/etc/passwd")
    assert stick.bring_in(media, home).whole == 0
    assert home.kept() == []


def test_one_refused_entry_holds_no_other_up(box: Box, home: Keeping, game: bytes) -> None:
    first = box.hand_in(game, PUPIL, "x")
    box.hand_in(game, PUPIL.model_copy(update={"name": "李四"}), "y")

    class Choosy(Wire):
        def begin(self, sealed: str) -> Held:
            if sealed == first.sealed:
                raise ProvisionerError("no")
            return super().begin(sealed)

    assert courier.bring_all(box, Keeper.STATION, Choosy(home)) == 1


def test_codes_belong_to_entries(box: Box, game: bytes) -> None:
    entry = box.hand_in(game, PUPIL, "x")
    sealed, _ = open_envelope(entry.sealed, HandIn, trusted=KEY.public)
    assert code_of(sealed) == entry.code
    for place in (0, 3, 6, 10):
        wrong = "7" if entry.code[place] != "7" else "8"
        with pytest.raises(ValueError, match="no receipt"):
            read_code(entry.code[:place] + wrong + entry.code[place + 1 :])
