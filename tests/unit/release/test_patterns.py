from __future__ import annotations

import pytest

from provisioner.release.patterns import compile_patterns


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("boot/**", "boot/vmlinuz-6", True),
        ("boot/**", "boot/a/b", True),
        ("boot/**", "boot", False),
        ("boot/**", "usr/boot/x", False),
        ("usr/*/man", "usr/share/man", True),
        ("usr/*/man", "usr/share/x/man", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("lib*.so", "libx+.so", True),
        ("a.b", "axb", False),
        ("**", "any/thing", True),
    ],
)
def test_patterns(pattern: str, path: str, fits: bool) -> None:
    assert bool(compile_patterns([pattern]).fullmatch(path)) is fits


def test_no_pattern_fits_nothing() -> None:
    assert compile_patterns([]).fullmatch("") is None


def test_patterns_do_not_run_into_one_another() -> None:
    both = compile_patterns(["a", "b/c"])
    assert both.fullmatch("a")
    assert both.fullmatch("b/c")
    assert not both.fullmatch("a/c")
