"""Certificates as PDF, from the signed file and nothing else."""

from __future__ import annotations

from provisioner.documents.certificates import AnyCertificate, digest_of, verify
from provisioner.documents.pdf import make_pdf
from provisioner.documents.qr import qr_image
from provisioner.documents.texts import Texts
from provisioner.model.certificate import WipeCertificate
from provisioner.templating import render


def certificate_pdf(sealed: str, key: str, language: str) -> bytes:
    """The PDF of a signed certificate, checked first. Raises UntrustedError."""
    return make_pdf(
        certificate_html(verify(sealed.encode(), key), digest_of(sealed), key, language)
    )


def certificate_html(certificate: AnyCertificate, digest: str, key: str, language: str) -> str:
    texts = Texts(language)
    one = isinstance(certificate, WipeCertificate)
    return render(
        f"documents/{'certificate' if one else 'batch_certificate'}.html.j2",
        c=certificate, t=texts, _=texts.text, digest=digest, key=key,
        qr=qr_image(f"{certificate.number} sha256:{digest}"),
        footer=f"{certificate.number} · sha256 {digest[:16]}",
    )  # fmt: skip
