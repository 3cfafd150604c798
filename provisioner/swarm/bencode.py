"""Bencoding (BEP 3), strict: what torrents and trackers' answers are written in.

A text has exactly one encoding and only that one is read: keys rise, numbers have no leading
zeros, nothing follows the end. So equal values are equal bytes, and comparing bytes is enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from provisioner.errors import UntrustedError

# A release's torrent nests six deep; more is an attack on the stack.
MAX_DEPTH = 24
MAX_DIGITS = 16

Value = int | bytes | Sequence["Value"] | Mapping[bytes, "Value"]


def encode(value: Value) -> bytes:
    """One value as bytes; keys of a mapping are sorted, as the format demands."""
    match value:
        case int():
            return b"i%de" % value
        case bytes():
            return b"%d:%b" % (len(value), value)
        case Mapping():
            parts = (encode(key) + encode(value[key]) for key in sorted(value))
            return b"d%be" % b"".join(parts)
        case _:
            return b"l%be" % b"".join(encode(item) for item in value)


def decode(data: bytes) -> Value:
    """The value that `data` encodes. Raises UntrustedError for anything but one whole value."""
    try:
        value, end = _read(data, 0, 0)
    except (IndexError, ValueError) as error:
        raise UntrustedError("This is no bencoded text.") from error
    if end != len(data):
        raise UntrustedError("There is something behind the end of a bencoded text.")
    return value


def _read(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deep")
    kind = data[at : at + 1]
    if kind == b"i":
        return _number(data, at + 1, b"e")
    if kind == b"l":
        return _list(data, at + 1, depth)
    if kind == b"d":
        return _dictionary(data, at + 1, depth)
    return _text(data, at)


def _number(data: bytes, at: int, end: bytes) -> tuple[int, int]:
    stop = data.index(end, at, at + MAX_DIGITS + 2)
    digits = data[at:stop]
    value = int(digits)
    if digits != b"%d" % value:
        raise ValueError("a number in another form than its own")
    return value, stop + 1


def _text(data: bytes, at: int) -> tuple[bytes, int]:
    size, begin = _number(data, at, b":")
    if size < 0 or begin + size > len(data):
        raise ValueError("a text that is cut off")
    return data[begin : begin + size], begin + size


def _list(data: bytes, at: int, depth: int) -> tuple[list[Value], int]:
    items: list[Value] = []
    while data[at] != ord("e"):
        item, at = _read(data, at, depth + 1)
        items.append(item)
    return items, at + 1


def _dictionary(data: bytes, at: int, depth: int) -> tuple[dict[bytes, Value], int]:
    items: dict[bytes, Value] = {}
    last: bytes | None = None
    while data[at] != ord("e"):
        key, at = _text(data, at)
        if last is not None and key <= last:
            raise ValueError("keys that do not rise")
        items[key], at = _read(data, at, depth + 1)
        last = key
    return items, at + 1
