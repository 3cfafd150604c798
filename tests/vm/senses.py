"""What a blind child hears and feels, taken from a box: its sound and its Braille display.

PulseAudio has no sound card there and plays into its own empty output, which is recorded. BRLTTY's
virtual driver, made for tests, says over a socket which dots it raises. What was said is found out
by comparing the recording with the same voice saying other sentences: no neural network, and no
listener; it tells sentences apart, it does not judge how well a child understands them.
"""

from __future__ import annotations

import array
import cmath
import functools
import itertools
import math
import re
import socket
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

RATE = 22050  # samples a second, as espeak-ng speaks
SIZE, HOP = 512, 256
BANDS = 18
QUIET = 0.02  # of the loudest frame: below it nothing is said
VOICED = 0.05
PAUSE_S = 0.35
Frame = tuple[float, ...]


def listen_command() -> list[str]:
    """Records what the session plays, as 16-bit samples on standard output."""
    words = f"--device=@DEFAULT_MONITOR@ --format=s16le --rate={RATE} --channels=1"
    return ["sh", "-c", f"exec parec {words} --latency-msec=100 2>/dev/null"]


def samples(recorded: bytes) -> list[int]:
    """A raw recording as numbers; a half-written sample at its end is left out."""
    numbers = array.array("h")
    numbers.frombytes(recorded[: len(recorded) // 2 * 2])
    return list(numbers)


def wave_samples(wave: bytes) -> list[int]:
    """What espeak-ng writes to a pipe: a header of 44 bytes, then samples."""
    return samples(wave[44:])


def spoken_parts(sound: Sequence[int]) -> list[Sequence[int]]:
    """The stretches in which something is heard, parted by pauses."""
    levels = [_level(sound[at : at + HOP]) for at in range(0, len(sound), HOP)]
    loud = max(levels, default=0.0)
    if loud < 100:  # of 32,767: nothing but silence
        return []
    gap = PAUSE_S * RATE / HOP
    parts: list[list[int]] = []
    for number, level in enumerate(levels):
        if level < QUIET * loud:
            continue
        if parts and number - parts[-1][1] <= gap:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return [sound[first * HOP : (last + 1) * HOP] for first, last in parts]


def most_like(sound: Sequence[int], known: Mapping[str, Sequence[int]]) -> tuple[str, float]:
    """Which of the known sentences `sound` is, and how much nearer it is than the next (0 to 1)."""
    heard = frames(voiced(sound))
    far = sorted((distance(heard, frames(voiced(other))), text) for text, other in known.items())
    return far[0][1], 1 - far[0][0] / far[1][0]


def voiced(sound: Sequence[int]) -> list[int]:
    """The sound without its pauses: a busy computer plays with gaps that nobody spoke."""
    pieces = [sound[at : at + HOP] for at in range(0, len(sound), HOP)]
    least = VOICED * max(map(_level, pieces), default=0.0)
    return [number for piece in pieces if _level(piece) >= least for number in piece]


def frames(sound: Sequence[int]) -> list[Frame]:
    """How strong each band of pitch is, every 12 ms, in logarithms; loudness taken out."""
    found = [_bands(sound[at : at + SIZE]) for at in range(0, max(1, len(sound) - SIZE), HOP)]
    mean = [sum(column) / len(found) for column in zip(*found, strict=True)]
    return [tuple(v - m for v, m in zip(frame, mean, strict=True)) for frame in found]


def distance(one: Sequence[Frame], other: Sequence[Frame]) -> float:
    """How unlike two stretches are, each of them stretched in time to fit best (DTW)."""
    before = [math.inf] * (len(other) + 1)
    before[0] = 0.0
    for frame in one:
        now = [math.inf]
        for number, against in enumerate(other):
            nearest = min(before[number], before[number + 1], now[number])
            now.append(nearest + math.dist(frame, against))
        before = now
    return before[-1] / (len(one) + len(other))


def _level(sound: Sequence[int]) -> float:
    return math.sqrt(sum(n * n for n in sound) / len(sound)) if sound else 0.0


def _bands(sound: Sequence[int]) -> Frame:
    shaped = [complex(n * w) for n, w in zip(sound, _window(), strict=False)]
    spectrum = _fourier(shaped + [0j] * (SIZE - len(shaped)))
    power = [abs(n) ** 2 for n in spectrum[: SIZE // 2]]
    return tuple(math.log(1e4 + sum(power[first:last])) for first, last in _edges())


def _fourier(values: list[complex]) -> list[complex]:
    """The fast Fourier transform; the length is a power of two."""
    if len(values) == 1:
        return values
    even, odd = _fourier(values[::2]), _fourier(values[1::2])
    turned = [turn * v for turn, v in zip(_turns(len(values)), odd, strict=True)]
    sums = [e + t for e, t in zip(even, turned, strict=True)]
    return sums + [e - t for e, t in zip(even, turned, strict=True)]


@functools.cache
def _turns(count: int) -> tuple[complex, ...]:
    return tuple(cmath.exp(-2j * math.pi * n / count) for n in range(count // 2))


@functools.cache
def _window() -> tuple[float, ...]:
    return tuple(0.5 - 0.5 * math.cos(2 * math.pi * n / SIZE) for n in range(SIZE))


@functools.cache
def _edges() -> tuple[tuple[int, int], ...]:
    """Where each band begins and ends in the spectrum: from 170 Hz to 5.2 kHz, ever wider."""
    edges = [round(4 * 30 ** (n / BANDS)) for n in range(BANDS + 1)]
    return tuple((first, max(last, first + 1)) for first, last in itertools.pairwise(edges))


class BrailleDisplay:
    """A display of 40 cells for BRLTTY's virtual driver, whose socket must be there already."""

    def __init__(self, place: Path, cells: int = 40) -> None:
        self._lines: list[str] = []
        self._talk = socket.socket(socket.AF_UNIX)
        self._talk.connect(str(place))
        self._talk.sendall(f"cells {cells}\n".encode())
        threading.Thread(target=self._read, daemon=True).start()

    def close(self) -> None:
        self._talk.close()

    def shown(self) -> list[str]:
        """Everything that was raised so far, newest last, as Unicode's Braille of six dots.

        Dots 7 and 8 are the cursor and the mark of what has the focus.
        """
        told = (line.partition(" ") for line in list(self._lines))
        return [cells(re.sub("[78]", "", words.strip('" '))) for kind, _, words in told
                if kind.lower() == "braille"]  # fmt: skip

    def _read(self) -> None:
        with self._talk.makefile(encoding="utf-8", errors="replace") as lines:
            self._lines.extend(line.rstrip("\r\n") for line in lines)


def cells(dots: str) -> str:
    """`1|12|145` as ⠁⠃⠙."""
    found: Iterable[str] = (re.sub(r"[^1-8]", "", cell) for cell in dots.split("|"))
    return "".join(chr(0x2800 + sum(1 << int(dot) - 1 for dot in cell)) for cell in found)
