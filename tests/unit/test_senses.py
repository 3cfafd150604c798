"""How the tests of the special-needs image hear and feel: tried on made sounds."""

from __future__ import annotations

import math

from tests.vm.senses import RATE, cells, most_like, samples, spoken_parts


def tone(*pitches: float, seconds: float = 0.04, strength: int = 8000) -> list[int]:
    """One pitch after the other, each with an overtone, as vowels are."""
    count = round(seconds * RATE)
    return [round(strength * (math.sin(2 * math.pi * p * n / RATE)
                              + 0.5 * math.sin(6 * math.pi * p * n / RATE)))
            for p in pitches for n in range(count)]  # fmt: skip


def test_silence_is_no_speech() -> None:
    assert spoken_parts([0] * RATE) == []
    assert spoken_parts([3, -3] * RATE) == []
    assert spoken_parts([]) == []


def test_pauses_part_what_is_heard() -> None:
    pause = [0] * RATE
    first, second = tone(300, seconds=0.1), tone(500, 700, seconds=0.1)
    found = spoken_parts(pause + first + pause + second + pause)
    assert [round(len(part) / RATE, 1) for part in found] == [0.1, 0.2]


def test_the_same_sentence_slower_is_still_the_same() -> None:
    known = {"up": tone(250, 500, 1000), "down": tone(1000, 500, 250), "flat": tone(500, 500, 500)}
    said, nearer = most_like(tone(250, 500, 1000, seconds=0.05, strength=3000), known)
    assert said == "up"
    assert nearer > 0.5


def test_gaps_that_nobody_spoke_change_nothing() -> None:
    """As a busy computer plays it: with silence in the middle of words."""
    known = {"up": tone(250, 500, 1000), "down": tone(1000, 500, 250)}
    gap = [0] * (RATE // 10)
    said, nearer = most_like([*tone(250), *gap, *tone(500), *gap, *tone(1000)], known)
    assert said == "up"
    assert nearer > 0.7


def test_a_sample_cut_in_half_is_left_out() -> None:
    assert samples(b"\x01\x00\xff\xff\x07") == [1, -1]


def test_dots_become_braille() -> None:
    assert cells("1|12|145||12345678") == "⠁⠃⠙⠀⣿"
