"""What the machine's own screen shows: words, pixels, and letters on a text console."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from provisioner.agent import framebuffer, screen, words
from provisioner.agent.framebuffer import BACKGROUND, Framebuffer, Geometry, parse_geometry
from provisioner.agent.image import STEPS as IMAGE_STEPS
from provisioner.agent.journey import Journey, Standing
from provisioner.agent.scene import Scene, view
from provisioner.model.record import Problem, Record
from provisioner.model.wire import Reply, Screen, Tone

WORKING = Scene(asset_tag="GY-0127", verb="image")
HALF = Standing("fetch", 0.5, 17.5e6)
BROKEN = Problem(kind="DiskFaultError", message="Byte 7 is lost.", hint="Replace the disk.")


def test_work_shows_stage_step_and_bar_in_both_languages() -> None:
    seen = view(WORKING, HALF)
    assert seen.tone is Tone.WORK
    assert (seen.title.en, seen.title.zh) == ("Installing", "正在安装")
    assert seen.line == words.STEPS["fetch"]
    assert seen.fraction == 0.5
    assert "17.5 MB/s" in seen.footer


def test_a_problem_is_red_and_says_what_to_do_in_both_languages() -> None:
    seen = view(Scene(problem=BROKEN), Standing())
    assert seen.tone is Tone.FAIL
    assert seen.hint.en == "Replace the disk."
    assert seen.hint.zh
    assert seen.line.en == "Byte 7 is lost."


def test_a_problem_stays_until_the_next_order() -> None:
    reply = Reply(to_key="0" * 64, counter=1, station_time=0, screen=Screen(title_en="Ready"))
    scene = Scene().ended(Record(order="0" * 32, problem=BROKEN, seconds=1)).after(reply)
    assert view(scene, Standing()).tone is Tone.FAIL


def test_trouble_with_the_station_ends_with_its_next_answer() -> None:
    reply = Reply(to_key="0" * 64, counter=1, station_time=0, screen=Screen(title_en="Ready"))
    scene = Scene().troubled(BROKEN)
    assert view(scene, Standing()).tone is Tone.FAIL
    assert view(scene.after(reply), Standing()).title.en == "Ready"


def test_a_silent_station_is_told_even_during_work() -> None:
    assert view(Scene().silent(), Standing()).title == words.NO_STATION
    assert words.STATION_SILENT.zh in view(WORKING.silent(), HALF).footer


def test_every_step_and_problem_has_both_languages() -> None:
    for pair in (*words.STEPS.values(), *words.VERBS.values()):
        assert pair.en
        assert pair.zh
    assert {name for name, _ in IMAGE_STEPS} <= set(words.STEPS)


@pytest.mark.parametrize("size", [(640, 480), (1024, 768), (1920, 1080), (1280, 400)])
@pytest.mark.parametrize("scene", [WORKING, Scene(problem=BROKEN), Scene()])
def test_it_is_painted_at_any_size(scene: Scene, size: tuple[int, int]) -> None:
    seen = view(scene, HALF)
    picture = framebuffer.draw(seen, size)
    assert picture.size == size
    assert picture.getpixel((1, 1)) == BACKGROUND[seen.tone]
    tag = picture.crop((0, 0, size[0], size[1] // 3))
    assert len(tag.getcolors(1 << 16) or ()) > 1  # something is written there


def test_the_bar_is_as_long_as_the_work_is_far() -> None:
    def white(fraction: float) -> int:
        picture = framebuffer.draw(view(WORKING, Standing("fetch", fraction)), (1000, 1000))
        row = [picture.getpixel((x, y)) for y in range(1000) for x in (0, 500)]
        assert row
        return max(
            sum(picture.getpixel((x, y)) == (255, 255, 255) for x in range(1000))
            for y in range(600, 850, 5)
        )

    assert white(0.25) < white(0.5) < white(1.0)


@pytest.mark.parametrize(
    ("size", "bits", "stride", "wanted"),
    [
        ("1280,800", 32, 5120, Geometry(1280, 800, 32, 5120)),
        ("800,600", 16, 1664, Geometry(800, 600, 16, 1664)),
        ("800,600", 32, None, Geometry(800, 600, 32, 3200)),
        ("800,600", 8, 800, None),
        ("0,0", 32, 0, None),
        ("", None, None, None),
        ("99999,9", 32, None, None),
        ("800,600", 32, 100, None),
    ],
)
def test_geometry(size: str, bits: int | None, stride: int | None, wanted: Geometry | None) -> None:
    assert parse_geometry(size, bits, stride) == wanted


def test_pixels_of_a_16_bit_screen_are_rgb565() -> None:
    picture = Image.new("RGB", (2, 1))
    picture.putpixel((0, 0), (255, 0, 0))
    picture.putpixel((1, 0), (0, 255, 8))
    assert framebuffer.pixels(picture, Geometry(2, 1, 16, 6)) == b"\x00\xf8\xe1\x07\0\0"


def test_pixels_of_a_32_bit_screen_are_bgrx() -> None:
    picture = Image.new("RGB", (1, 2), (1, 2, 3))
    data = framebuffer.pixels(picture, Geometry(1, 2, 32, 8))
    assert (data[:3], data[8:11], len(data)) == (b"\x03\x02\x01", b"\x03\x02\x01", 16)


@pytest.fixture
def glass(tmp_path: Path) -> Framebuffer:
    sysfs = tmp_path / "sys"
    sysfs.mkdir()
    (sysfs / "virtual_size").write_text("320,200\n")
    (sysfs / "bits_per_pixel").write_text("32\n")
    (sysfs / "stride").write_text("1280\n")
    (tmp_path / "fb0").write_bytes(bytes(1280 * 200))
    return Framebuffer(tmp_path / "fb0", sysfs)


def test_only_what_changed_is_written(glass: Framebuffer, tmp_path: Path) -> None:
    geometry = glass.geometry()
    assert geometry is not None
    glass.show(view(WORKING, HALF), geometry)
    first = (tmp_path / "fb0").read_bytes()
    assert len(first) == 1280 * 200
    glass.show(view(WORKING, Standing("fetch", 0.7, 17.5e6)), geometry)
    second = (tmp_path / "fb0").read_bytes()
    lines = [at for at in range(200) if first[at * 1280 : at * 1280 + 1280]
             != second[at * 1280 : at * 1280 + 1280]]  # fmt: skip
    assert lines
    assert min(lines) > 60


def test_it_is_painted_only_when_something_changed(
    glass: Framebuffer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = {"standing": HALF}
    shower = screen.Shower(lambda: (WORKING, now["standing"]), glass, tmp_path / "tty")
    painted: list[object] = []
    monkeypatch.setattr(glass, "show", lambda seen, _geometry: painted.append(seen))
    shower.refresh()
    shower.refresh()
    now["standing"] = Standing("fetch", 0.5001, 17.5e6)
    shower.refresh()
    assert len(painted) == 1
    now["standing"] = Standing("fetch", 0.6, 17.5e6)
    shower.refresh()
    assert len(painted) == 2


def test_without_a_framebuffer_it_is_written_to_the_console(tmp_path: Path) -> None:
    console = tmp_path / "tty"
    none = Framebuffer(tmp_path / "no-fb", tmp_path)
    screen.Shower(lambda: (Scene(asset_tag="A-1", problem=BROKEN), HALF), none, console).refresh()
    text = console.read_bytes().decode()
    assert "\x1b[0;1;41;37m" in text  # red
    assert "Replace the disk." in text
    assert "█" in text
    assert all(len(line) <= 80 for line in text.split("\r\n")[1:])
    assert len(text.split("\r\n")) <= 24


def test_a_picture_for_the_documentation(tmp_path: Path) -> None:
    screen.png(WORKING, HALF, (640, 480), tmp_path / "shot.png")
    with Image.open(tmp_path / "shot.png") as picture:
        assert picture.size == (640, 480)


def test_a_journeys_fraction_never_falls() -> None:
    told: list[Standing] = []
    clock = iter(range(1000))
    journey = Journey([("a", 1.0), ("b", 3.0)], told.append, lambda: float(next(clock)))
    for step in "ab":
        journey.enter(step)
        for done in range(0, 101, 20):
            journey.at(done, 100)
    fractions = [standing.fraction for standing in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert told[-1].rate is not None
