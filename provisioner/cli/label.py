"""Labels for machines, as a PDF for the printer."""

from __future__ import annotations

from pathlib import Path

import click

from provisioner.cli.office import Office, pass_office
from provisioner.workshop import desk

FORMS = ("sheet", "single")
LANGUAGES = ("en", "zh")


@click.command()
@click.argument("tags", nargs=-1)
@click.option("--batch", help="All machines of this batch, by seat.")
@click.option("--form", type=click.Choice(FORMS), default="sheet", show_default=True,
              help="A4 with 21 labels, or one label a page.")  # fmt: skip
@click.option("--skip", type=click.IntRange(0, 20), default=0, help="Places already used up.")
@click.option("--language", type=click.Choice(LANGUAGES), help="Else the station's own.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), required=True,
              help="The PDF file to write.")  # fmt: skip
@pass_office
def label(
    office: Office, tags: tuple[str, ...], batch: str | None, form: str, skip: int,
    language: str | None, output: Path,
) -> None:  # fmt: skip
    """Print labels with a QR code for machines, or for a whole batch."""
    from provisioner.documents.labels import Form, labels_pdf, machines_of_batch

    if bool(tags) == (batch is not None):
        raise click.UsageError("Say either the machines' tags or --batch NAME.")
    with office.reading() as session:
        machines = (
            machines_of_batch(session, batch)
            if batch is not None
            else [desk.find_machine(session, tag) for tag in tags]
        )
        words = language or office.settings.language
        content = labels_pdf(office.station, session, machines, Form(form), words, skip)
    output.write_bytes(content)
    click.echo(f"{len(machines)} labels are in {output}.")
