"""Debian's libzstd, for what its command cannot do: single blocks, and references in memory.

Python 3.13 has no zstd of its own. libzstd1 is on every Debian machine, because dpkg needs it.
The same version makes the same bytes of the same input: that is what a patch builds on.
"""

from __future__ import annotations

import contextlib
import ctypes
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import CommandError, ImageMismatchError

LIBRARY = "libzstd.so.1"
MAGIC = b"\x28\xb5\x2f\xfd"
# zstd.h, ZSTD_cParameter and ZSTD_dParameter: stable since 1.4
_LEVEL, _WINDOW_LOG, _LONG_MATCHES, _WINDOW_LOG_MAX = 100, 101, 160, 100
_UNKNOWN = (1 << 64) - 2
_SIZE_T, _POINTER, _INT = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int
_FUNCTIONS: dict[str, tuple[type, list[type]]] = {
    "ZSTD_isError": (ctypes.c_uint, [_SIZE_T]),
    "ZSTD_compressBound": (_SIZE_T, [_SIZE_T]),
    "ZSTD_compress": (_SIZE_T, [_POINTER, _SIZE_T, _POINTER, _SIZE_T, _INT]),
    "ZSTD_decompress": (_SIZE_T, [_POINTER, _SIZE_T, _POINTER, _SIZE_T]),
    "ZSTD_findFrameCompressedSize": (_SIZE_T, [_POINTER, _SIZE_T]),
    "ZSTD_getFrameContentSize": (ctypes.c_ulonglong, [_POINTER, _SIZE_T]),
    "ZSTD_createCCtx": (_POINTER, []),
    "ZSTD_freeCCtx": (_SIZE_T, [_POINTER]),
    "ZSTD_CCtx_setParameter": (_SIZE_T, [_POINTER, _INT, _INT]),
    "ZSTD_CCtx_refPrefix": (_SIZE_T, [_POINTER, _POINTER, _SIZE_T]),
    "ZSTD_compress2": (_SIZE_T, [_POINTER, _POINTER, _SIZE_T, _POINTER, _SIZE_T]),
    "ZSTD_createDCtx": (_POINTER, []),
    "ZSTD_freeDCtx": (_SIZE_T, [_POINTER]),
    "ZSTD_DCtx_setParameter": (_SIZE_T, [_POINTER, _INT, _INT]),
    "ZSTD_DCtx_refPrefix": (_SIZE_T, [_POINTER, _POINTER, _SIZE_T]),
    "ZSTD_decompressDCtx": (_SIZE_T, [_POINTER, _POINTER, _SIZE_T, _POINTER, _SIZE_T]),
}


@dataclass(frozen=True)
class Frame:
    """A zstd frame: its bytes, packed and unpacked."""

    packed: int
    unpacked: int


class Zstd:
    """One libzstd. Calls let other threads run meanwhile."""

    def __init__(self, library: str | Path = LIBRARY) -> None:
        """Raises CommandError when the library is missing or is another than it says."""
        try:
            # The system's own comes first: whichever is loaded first owns the bare name.
            with contextlib.suppress(OSError):
                ctypes.CDLL(LIBRARY)
            self._lib = ctypes.CDLL(str(library))
            for name, (result, arguments) in _FUNCTIONS.items():
                function = getattr(self._lib, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError) as error:
            raise CommandError(
                f"The library {library} cannot be used: {error}.", "Install libzstd1."
            ) from error
        self.version = int(self._lib.ZSTD_versionNumber())

    def frame_at(self, data: bytes) -> Frame | None:
        """The frame that `data` begins with, when it is whole and tells its unpacked size."""
        packed = self._lib.ZSTD_findFrameCompressedSize(data, len(data))
        if self._lib.ZSTD_isError(packed):
            return None
        unpacked = self._lib.ZSTD_getFrameContentSize(data, len(data))
        return Frame(packed, unpacked) if 0 < unpacked < _UNKNOWN else None

    def unpack(self, data: bytes, size: int) -> bytes:
        """Raises ImageMismatchError unless exactly `size` bytes come out."""
        out = ctypes.create_string_buffer(size)
        return self._checked(out, self._lib.ZSTD_decompress(out, size, data, len(data)), size)

    def pack(self, data: bytes, level: int) -> bytes:
        """As mksquashfs packs a block."""
        room = self._lib.ZSTD_compressBound(len(data))
        out = ctypes.create_string_buffer(room)
        got = self._lib.ZSTD_compress(out, room, data, len(data), level)
        return self._checked(out, got, None)

    def pack_against(self, data: bytes, reference: bytes, level: int) -> bytes:
        """Pack `data` so that only who has `reference` can unpack it."""
        room = self._lib.ZSTD_compressBound(len(data))
        out = ctypes.create_string_buffer(room)
        context = self._lib.ZSTD_createCCtx()
        try:
            window = max(10, min(30, (len(data) + len(reference)).bit_length()))
            for name, value in ((_LEVEL, level), (_WINDOW_LOG, window), (_LONG_MATCHES, 1)):
                self._lib.ZSTD_CCtx_setParameter(context, name, value)
            self._lib.ZSTD_CCtx_refPrefix(context, reference, len(reference))
            got = self._lib.ZSTD_compress2(context, out, room, data, len(data))
        finally:
            self._lib.ZSTD_freeCCtx(context)
        return self._checked(out, got, None)

    def unpack_against(self, data: bytes, reference: bytes, size: int) -> bytes:
        """Undo `pack_against`; needs `size` bytes beside the reference, whatever `data` says.

        Raises ImageMismatchError unless exactly `size` bytes come out.
        """
        out = ctypes.create_string_buffer(size)
        context = self._lib.ZSTD_createDCtx()
        try:
            self._lib.ZSTD_DCtx_setParameter(context, _WINDOW_LOG_MAX, 30)
            self._lib.ZSTD_DCtx_refPrefix(context, reference, len(reference))
            got = self._lib.ZSTD_decompressDCtx(context, out, size, data, len(data))
        finally:
            self._lib.ZSTD_freeDCtx(context)
        return self._checked(out, got, size)

    def _checked(self, out: ctypes.Array[ctypes.c_char], got: int, size: int | None) -> bytes:
        if self._lib.ZSTD_isError(got) or size not in (None, got):
            raise ImageMismatchError("Packed bytes do not unpack to what they should.")
        return bytes(memoryview(out)[:got])
