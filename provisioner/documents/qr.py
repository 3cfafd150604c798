"""QR codes, as pictures that stand inside a document."""

from __future__ import annotations

import segno

MAX_TEXT = 600


def qr_image(text: str) -> str:
    """A `data:` address of a QR code (error correction M: a scratched label still reads)."""
    if not text or len(text) > MAX_TEXT:
        raise ValueError(f"a QR code of ours holds 1 to {MAX_TEXT} characters")
    code = segno.make(text, error="m", micro=False)
    return str(code.svg_data_uri(border=2, dark="#000", light="#fff"))
