"""The command line: `provisioner --help` reads like a table of contents of the job.

One module a group of commands; `shape` orders and catches errors, `office` opens the station,
`output` prints. Commands call the same services as the API and the dashboard.
"""

from __future__ import annotations

from provisioner.cli.root import cli

__all__ = ["cli", "main"]


def main() -> None:
    """The entry point `provisioner`."""
    cli(prog_name="provisioner")
