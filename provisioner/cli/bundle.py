"""Sticks for schools without a line: writing them, and reading what comes back."""

from __future__ import annotations

from pathlib import Path

import click

from provisioner.cli.office import Office, pass_office
from provisioner.cli.output import Column, report_steps, show_list
from provisioner.cli.shape import Contents
from provisioner.errors import ProofMissingError
from provisioner.model.renewal import HomesRule, When
from provisioner.workshop import bundles
from provisioner.workshop.bundles import Outcome

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
COLUMNS: tuple[Column[Outcome], ...] = (
    Column("machine", lambda row: row.machine),
    Column("result", lambda row: row.said, lambda row: "" if row.well else "bold red"),
)


@click.group("bundle", cls=Contents)
def group() -> None:
    """Sticks for schools without a line."""


@group.command("export")
@click.argument("school")
@click.argument("folder", type=FOLDER)
@click.option("--release", required=True, help="NAME for the newest of a recipe, or NAME@VERSION.")
@click.option("--when", type=click.Choice([when.value for when in When]),
              default=When.QUIET.value, show_default=True)  # fmt: skip
@click.option("--erase-homes", is_flag=True, help="Remove what pupils saved; it is written down.")
@pass_office
def export(office: Office, school: str, folder: Path, release: str, when: str,
           erase_homes: bool) -> None:  # fmt: skip
    """Write a school's release to a stick that is mounted at FOLDER.

    A teacher plugs it into a machine; afterwards it brings receipts home.
    """
    homes = HomesRule.ERASE if erase_homes else HomesRule.KEEP
    with office.transaction() as session:
        made = bundles.export(
            office.station, session, school, release, folder, office.actor,
            when=When(when), homes=homes, report=report_steps(),
        )  # fmt: skip
    click.echo(f"Bundle {made.number} for {made.school}: {made.release}, "
               f"{len(made.machines)} machines.")  # fmt: skip


@group.command("import")
@click.argument("folder", type=FOLDER)
@pass_office
def import_(office: Office, folder: Path) -> None:
    """Take in the receipts of a stick that came back from its school."""
    with office.transaction() as session:
        found = bundles.take_in(office.station, session, folder, office.actor)
    show_list(found, COLUMNS, False, "No machine has written a receipt.")
    if any(not outcome.well for outcome in found):
        raise ProofMissingError("Not every machine has what the stick brought.")
