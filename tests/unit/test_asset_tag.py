"""Asset tags: the check character against published numbers, and patterns that give no tags."""

from __future__ import annotations

import pytest

from provisioner import asset_tag
from provisioner.errors import ConfigError
from provisioner.settings import load_settings

PATTERN = "PC-{number:05d}{check}"


@pytest.mark.parametrize(
    ("body", "check"),
    [
        ("A12425GABC1234002", "M"),  # GRid, as its standard prints it: A1-2425G-ABC1234002-M
        ("00000000D07A0090", "Q"),  # ISAN 0000-0000-D07A-0090-Q-0000-0000-X, both of its checks
        ("00000000D07A009000000000", "X"),
        ("000000003A8D0000", "Z"),  # ISAN 0000-0000-3A8D-0000-Z
    ],
)
def test_the_check_character_is_that_of_iso_7064(body: str, check: str) -> None:
    assert asset_tag.check_character(body) == check


def test_tags_without_a_check_are_as_they_always_were() -> None:
    assert asset_tag.write("PC-{number:04d}", 1) == "PC-0001"
    assert not asset_tag.mistyped("PC-{number:04d}", "PC-9999")


def test_every_single_mistyped_character_is_found_and_nearly_all_swaps() -> None:
    swaps = missed = 0
    for number in range(0, 100_000, 997):
        tag = asset_tag.write(PATTERN, number)
        assert not asset_tag.mistyped(PATTERN, tag)
        for at, sign in enumerate(tag):
            if sign == "-":
                continue
            for other in asset_tag.ALPHABET.replace(sign, ""):
                assert asset_tag.mistyped(PATTERN, tag[:at] + other + tag[at + 1 :])
            if at and tag[at - 1] not in ("-", sign):
                swaps += 1
                swapped = tag[: at - 1] + sign + tag[at - 1] + tag[at + 1 :]
                missed += not asset_tag.mistyped(PATTERN, swapped)
    assert missed / swaps < 0.01


@pytest.mark.parametrize(
    "pattern",
    ["PC", "PC-{check}", "PC-{number}-{name}", "{check}{number}", "pc-{number}", "PC {number}",
     "PC-{number", "-{number}", "PC-{number:d}{check}{check}", "{number!r:>50}", "{number.real}",
     "PC-{number:x", "{0}{number}", "PC-{number:.1e}"],
)  # fmt: skip
def test_a_pattern_that_gives_no_tags_is_refused_at_the_start(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVISIONER_ASSET_TAG_PATTERN", pattern)
    with pytest.raises(ConfigError, match="asset_tag_pattern"):
        load_settings()


def test_a_mistyped_tag_is_told_from_an_unknown_one() -> None:
    known = [asset_tag.write(PATTERN, number) for number in (1, 2, 3)]
    wrong = known[0][:-1] + ("A" if known[0][-1] != "A" else "B")
    said = asset_tag.explain_unknown(wrong.lower(), known)
    assert wrong.lower() in said and f"would not be “{wrong[-1]}”" in said
    unknown = asset_tag.write(PATTERN, 9)
    assert asset_tag.explain_unknown(unknown, known) == f"There is no machine “{unknown}”."


@pytest.mark.parametrize("known", [[], ["PC-0001", "PC-0002"]])
def test_without_check_characters_nothing_is_said_of_them(known: list[str]) -> None:
    assert asset_tag.explain_unknown("PC-0009", known) == "There is no machine “PC-0009”."
