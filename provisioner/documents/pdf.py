"""HTML to PDF. Nothing outside the document is ever fetched, whatever a text pretends to be."""

from __future__ import annotations

import logging
from typing import Any

from weasyprint import HTML
from weasyprint.urls import FatalURLFetchingError, URLFetcher

from provisioner.errors import StationError

logging.getLogger("fontTools").setLevel(logging.WARNING)
# QR codes, and a school's own wallpaper.
_PICTURES = ("data:image/svg+xml", "data:image/png;base64,", "data:image/jpeg;base64,")


class _OnlyOwnPictures(URLFetcher):  # type: ignore[misc]
    """Pictures that stand in the document itself and nothing else: no file, no address."""

    def fetch(self, url: str, headers: Any = None) -> Any:
        if not url.startswith(_PICTURES):
            raise FatalURLFetchingError("a document fetches nothing")
        return super().fetch(url, headers)


def make_pdf(html: str) -> bytes:
    """The PDF of a whole HTML document. Raises StationError when nothing comes out."""
    fetcher = _OnlyOwnPictures(allowed_protocols={"data"})
    content = HTML(string=html, url_fetcher=fetcher).write_pdf()
    if not content or not content.startswith(b"%PDF-"):
        raise StationError("No PDF came out.", "Run “provisioner doctor”.")
    return bytes(content)
