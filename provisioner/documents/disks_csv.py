"""The disks of a batch certificate as a table for a spreadsheet.

A cell that a spreadsheet would take for a formula gets an apostrophe before it: models and serials
come from machines, and =cmd|… is a serial that somebody has tried.
"""

from __future__ import annotations

import csv
import io

from provisioner.model.certificate import BatchCertificate

COLUMNS = ("machine", "machine model", "disk model", "disk serial", "bytes", "level", "method",
           "bytes written", "bytes read back", "ended", "result")  # fmt: skip
# OWASP: these begin a formula; a tab or carriage return may hide one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠")


def disks_csv(certificate: BatchCertificate) -> str:
    """UTF-8 with a byte order mark, so that spreadsheets read Chinese."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for w in certificate.wipes:
        writer.writerow(
            cell(value)
            for value in (
                w.asset_tag, w.machine_model, w.medium.model, w.medium.serial,
                w.medium.apparent_bytes, w.level, w.method, w.bytes_written, w.bytes_verified,
                w.ended_at, "complete and verified",
            )
        )  # fmt: skip
    for d in certificate.not_erased:
        writer.writerow(
            cell(value)
            for value in (
                d.asset_tag, "", d.model, d.serial, d.size_bytes, "", "", "", "", "",
                f"NOT ERASED: {d.reason}",
            )
        )  # fmt: skip
    return "\ufeff" + out.getvalue()


def cell(value: object) -> str:
    """A value as a cell that no spreadsheet takes for a formula."""
    text = "".join(sign if sign.isprintable() else "�" for sign in str(value))
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
