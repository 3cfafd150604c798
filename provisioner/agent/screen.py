"""Keeping the machine's own screen true: on the framebuffer, else in letters on the console.

Painted again only when something to be seen has changed, at most once a second, because an
emulated or a fifteen-year-old processor has better things to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw

from provisioner.agent.framebuffer import Framebuffer, draw, font_of
from provisioner.agent.journey import Standing
from provisioner.agent.scene import Scene, View, view
from provisioner.model.wire import Tone

log = logging.getLogger(__name__)

CONSOLE = Path("/dev/tty1")
COLUMNS, TAG_ROWS = 79, 9
BAR = 60
KDSETMODE, KD_TEXT, KD_GRAPHICS = 0x4B3A, 0, 1  # linux/kd.h
PRINTK = Path("/proc/sys/kernel/printk")
# Background and foreground of the console, by tone (ECMA-48 SGR)
COLOURS = {Tone.WAIT: "40;37", Tone.WORK: "44;37", Tone.DONE: "42;30", Tone.ASK: "43;30"}
RED = "41;37"


class Shower:
    """The screen's thread. `now` gives the scene and where the work stands."""

    def __init__(
        self,
        now: Callable[[], tuple[Scene, Standing]],
        framebuffer: Framebuffer | None = None,
        console: Path = CONSOLE,
    ) -> None:
        self._now = now
        self._framebuffer = framebuffer or Framebuffer()
        self._console = console
        self._shown: object = None

    def run(self) -> None:
        """Never returns; trouble with the screen never stops the work."""
        quiet_kernel()
        while True:
            began = time.monotonic()
            try:
                self.refresh()
            except Exception:
                log.exception("The screen cannot be painted")
                time.sleep(10)
            cost = time.monotonic() - began
            time.sleep(max(1.0 - cost, cost, 0.2))

    def refresh(self) -> None:
        """Paint if what is to be seen differs from what is shown."""
        seen = coarse(view(*self._now()))
        geometry = self._framebuffer.geometry()
        if (seen, geometry) == self._shown:
            return
        if geometry:
            if self._shown is None:
                graphics(self._console, True)
            self._framebuffer.show(seen, geometry)
        else:
            self._console.write_bytes(console_text(seen).encode())
        self._shown = (seen, geometry)


def show_once(scene: Scene) -> None:
    """Paint one scene, where nothing else will run."""
    with contextlib.suppress(Exception):
        Shower(lambda: (scene, Standing())).refresh()


def png(scene: Scene, standing: Standing, size: tuple[int, int], path: Path) -> None:
    """The same picture as a file, for the documentation and the tests."""
    draw(view(scene, standing), size).save(path)


def coarse(seen: View) -> View:
    """The view with its bar in steps of half a per cent: finer ones are not worth painting."""
    if seen.fraction is None:
        return seen
    return replace(seen, fraction=round(seen.fraction * 200) / 200)


def graphics(console: Path, on: bool) -> None:
    """Keep the kernel's text and cursor off the picture."""
    with contextlib.suppress(OSError):
        handle = os.open(console, os.O_RDWR | os.O_NOCTTY)
        try:
            fcntl.ioctl(handle, KDSETMODE, KD_GRAPHICS if on else KD_TEXT)
        finally:
            os.close(handle)


def quiet_kernel() -> None:
    """Only emergencies of the kernel may write over the screen."""
    with contextlib.suppress(OSError):
        PRINTK.write_text("1 4 1 7\n")


def console_text(seen: View) -> str:
    """The view for an 80-column console without Chinese letters: coloured, the tag in blocks."""
    lines = [*block_letters(seen.tag or "?", COLUMNS, TAG_ROWS), "", f"  {seen.title.en}", ""]
    if seen.fraction is not None:
        done = int(seen.fraction * BAR)
        lines += [f"  {seen.line.en}", ""]
        lines += [f"  [{'#' * done}{'.' * (BAR - done)}] {seen.fraction * 100:3.0f} %"]
    else:
        lines += [f"  {part}" for text in (seen.hint.en, seen.line.en) for part in _fold(text)]
    lines += ["", f"  {seen.footer.encode('ascii', 'ignore').decode().strip()}"]
    colour = COLOURS.get(seen.tone, RED)
    body = "\r\n".join(lines[:24])
    return f"\x1b[?25l\x1b[0;1;{colour}m\x1b[2J\x1b[H{body}"


def block_letters(text: str, columns: int, rows: int) -> list[str]:
    """`text` as large as it fits, two dots above each other in one character (▀ ▄ █)."""
    font = font_of(rows * 2)
    width = int(font.getlength(text)) + 1
    image = Image.new("L", (max(width, 1), rows * 2))
    ImageDraw.Draw(image).text((0, -2), text, font=font, fill=255)
    if width > columns:
        image = image.resize((columns, rows * 2))
    dots = image.point([255 * (value > 100) for value in range(256)])
    shapes = " ▀▄█"
    data, across = dots.tobytes(), dots.width
    return [
        "".join(
            shapes[(data[2 * row * across + x] > 0) + 2 * (data[(2 * row + 1) * across + x] > 0)]
            for x in range(across)
        )
        for row in range(rows)
    ]


def _fold(text: str) -> list[str]:
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > COLUMNS - 4:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*lines, line] if line else lines
