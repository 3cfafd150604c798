"""The picture for the machine's own screen, readable from three metres.

`draw` makes it from a `View` with Pillow, at any size: for the kernel's framebuffer, and as a
PNG for the documentation. `Framebuffer` puts it on the glass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFont

from provisioner.agent.scene import View
from provisioner.agent.text import read_int, read_line
from provisioner.agent.words import Words
from provisioner.model.wire import Tone

FONT = "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"
DEVICE = Path("/dev/fb0")
SYSFS = Path("/sys/class/graphics/fb0")
MAX_SIDE = 8192
WHITE = (255, 255, 255)
TRACK = (0, 0, 0)
BACKGROUND = {
    Tone.WAIT: (38, 50, 56),
    Tone.WORK: (13, 71, 161),
    Tone.DONE: (27, 94, 32),
    Tone.ASK: (150, 75, 0),
    Tone.FAIL: (176, 0, 32),
}
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Geometry:
    """A framebuffer: pixels, bits of one pixel, bytes of one line."""

    width: int
    height: int
    bits: int
    stride: int


def parse_geometry(virtual_size: str, bits: int | None, stride: int | None) -> Geometry | None:
    """The kernel's own figures; None for what we cannot paint on."""
    sides = virtual_size.split(",")
    if len(sides) != 2 or not all(side.isdecimal() for side in sides) or bits not in (16, 32):
        return None
    width, height = int(sides[0]), int(sides[1])
    line = stride or width * bits // 8
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE) or line < width * bits // 8:
        return None
    return Geometry(width, height, bits, line)


class Framebuffer:
    """Writes only the lines that changed since the last picture."""

    def __init__(self, device: Path = DEVICE, sysfs: Path = SYSFS) -> None:
        self._device, self._sysfs = device, sysfs
        self._last: Image.Image | None = None

    def geometry(self) -> Geometry | None:
        """As it is now: a better driver may have taken the screen over. None: no framebuffer."""
        if not self._device.exists():
            return None
        return parse_geometry(
            read_line(self._sysfs / "virtual_size"),
            read_int(self._sysfs / "bits_per_pixel"),
            read_int(self._sysfs / "stride"),
        )

    def show(self, view: View, geometry: Geometry) -> None:
        """Paint `view`. Raises OSError when the device refuses."""
        image = draw(view, (geometry.width, geometry.height))
        top, bottom = changed_lines(self._last, image)
        if top < bottom:
            strip = image.crop((0, top, geometry.width, bottom))
            with self._device.open("r+b", buffering=0) as out:
                out.seek(top * geometry.stride)
                out.write(pixels(strip, geometry))
        self._last = image


def changed_lines(last: Image.Image | None, image: Image.Image) -> tuple[int, int]:
    """The range of lines in which two pictures differ; all of them without a last one."""
    if last is None or last.size != image.size:
        return 0, image.height
    box = ImageChops.difference(last, image).getbbox()
    return (box[1], box[3]) if box else (0, 0)


def pixels(image: Image.Image, geometry: Geometry) -> bytes:
    """The picture as the framebuffer stores it: little-endian XRGB8888 or RGB565."""
    data = image.tobytes("raw", "BGRX") if geometry.bits == 32 else _rgb565(image)
    line = image.width * geometry.bits // 8
    if line == geometry.stride:
        return data
    pad = bytes(geometry.stride - line)
    return b"".join(data[at : at + line] + pad for at in range(0, len(data), line))


def _rgb565(image: Image.Image) -> bytes:
    red, green, blue = image.split()
    upper_red = red.point([value & 0xF8 for value in range(256)])
    lower_green = green.point([(value & 0x1C) << 3 for value in range(256)])
    high = ImageChops.add(upper_red, green.point(_shift(5)))
    low = ImageChops.add(lower_green, blue.point(_shift(3)))
    return Image.merge("LA", (low, high)).tobytes()


def _shift(bits: int) -> list[int]:
    return [value >> bits for value in range(256)]


def draw(view: View, size: tuple[int, int]) -> Image.Image:
    """The whole picture: tag, title, line, bar, hint, footer, from top to bottom."""
    width, height = size
    image = Image.new("RGB", size, BACKGROUND[view.tone])
    brush = ImageDraw.Draw(image)
    margin, unit = width // 24, height / 100
    room = width - 2 * margin
    _line(brush, view.tag or "?", margin, int(3 * unit), room, int(27 * unit))
    top = int(35 * unit)
    for text, share in zip(_both(view.title, view.chinese_first), (12, 9), strict=True):
        if text:
            _line(brush, text, margin, top, room, int(share * unit))
            top += int((share + 3) * unit)
    if view.fraction is not None:
        _work(brush, view, margin, top, room, unit)
    else:
        _advice(brush, view, margin, top + int(2 * unit), room, unit)
    _line(brush, view.footer, margin, int(95 * unit), room, int(3 * unit))
    return image


def _work(
    brush: ImageDraw.ImageDraw, view: View, left: int, top: int, room: int, unit: float
) -> None:
    """The step in both languages and a bar with its per cent."""
    share = view.fraction or 0.0
    first, second = _both(view.line, view.chinese_first)
    _line(brush, f"{first}   {second}", left, top + int(unit), room, int(6 * unit))
    upper, lower = top + int(10 * unit), top + int(22 * unit)
    brush.rectangle((left, upper, left + room, lower), fill=TRACK)
    brush.rectangle((left, upper, left + int(room * share), lower), fill=WHITE)
    _line(brush, f"{share * 100:.0f} %", left, lower + int(2 * unit), room, int(8 * unit))


def _advice(
    brush: ImageDraw.ImageDraw, view: View, left: int, top: int, room: int, unit: float
) -> None:
    """What is the matter and what to do, wrapped, what to do first in large letters."""
    for pair, share in ((view.hint, 6), (view.line, 4)):
        for text in _both(pair, view.chinese_first):
            for line in wrap(text, font_of(int(share * unit)), room)[:3]:
                if top + share * unit > 94 * unit:
                    return
                _line(brush, line, left, top, room, int(share * unit))
                top += int((share + 1.5) * unit)


def wrap(text: str, font: Font, room: int) -> list[str]:
    """Break `text` into lines of at most `room` pixels, at spaces or between Chinese signs."""
    lines, line = [], ""
    for piece in _pieces(text):
        if line and font.getlength(line + piece) > room:
            lines.append(line.rstrip())
            line = piece.lstrip()
        else:
            line += piece
    return [*lines, line.rstrip()] if line.strip() else lines


def _pieces(text: str) -> list[str]:
    """Latin words with the blank after them, and Chinese signs one by one."""
    return re.findall(r"[^\s\u2e80-\uffff]+\s*|[\u2e80-\uffff]\s*", text)


def _both(pair: Words, chinese_first: bool) -> tuple[str, str]:
    return (pair.zh, pair.en) if chinese_first else (pair.en, pair.zh)


def _line(
    brush: ImageDraw.ImageDraw, text: str, left: int, top: int, room: int, height: int
) -> None:
    """One line, as high as `height`, smaller where it would not fit into `room`."""
    font = font_of(height)
    length = font.getlength(text)
    if length > room:
        font = font_of(max(int(height * room / length), 8))
    brush.text((left, top), text, font=font, fill=WHITE)


@lru_cache(maxsize=32)
def font_of(height: int) -> Font:
    try:
        return ImageFont.truetype(FONT, max(height, 8))
    except OSError:  # no such font here: Latin letters only
        return ImageFont.load_default(max(height, 8))
