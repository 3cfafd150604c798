"""The disks of a batch certificate as a table for a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.documents.tables import csv_table
from provisioner.model.certificate import BatchCertificate

COLUMNS = ("machine", "machine model", "disk model", "disk serial", "bytes", "level", "method",
           "bytes written", "bytes read back", "ended", "result")  # fmt: skip


def disks_csv(certificate: BatchCertificate) -> str:
    """Every disk of the certificate, also those that were not erased."""
    return csv_table(COLUMNS, _rows(certificate))


def _rows(certificate: BatchCertificate) -> Iterator[tuple[object, ...]]:
    for w in certificate.wipes:
        yield (
            w.asset_tag, w.machine_model, w.medium.model, w.medium.serial,
            w.medium.apparent_bytes, w.level, w.method, w.bytes_written, w.bytes_verified,
            w.ended_at, "complete and verified",
        )  # fmt: skip
    for d in certificate.not_erased:
        yield (
            d.asset_tag, "", d.model, d.serial, d.size_bytes, "", "", "", "", "",
            f"NOT ERASED: {d.reason}",
        )  # fmt: skip
