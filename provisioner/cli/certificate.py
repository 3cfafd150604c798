"""Certificates of erasure: issued only for what is complete and verified; checked byte by byte."""

from __future__ import annotations

from pathlib import Path

import click

from provisioner.cli.office import Office, pass_office
from provisioner.cli.output import show_facts
from provisioner.cli.shape import Contents

LANGUAGES = ("en", "zh")


@click.group("certificate", cls=Contents)
def group() -> None:
    """Issue certificates of erasure, and find out whether one was changed."""


@group.command()
@click.argument("tag", required=False)
@click.option("--batch", help="One certificate for the donor of this batch, with every disk.")
@click.option("--donor", default="", help="Where the machines came from.")
@click.option("--destination", default="", help="What becomes of the disks.")
@click.option("--verified-by", default="", help="Who looked at the result.")
@click.option("--validated-by", default="", help="Who approves it.")
@click.option("--language", type=click.Choice(LANGUAGES), help="Else the station's own.")
@click.option("--output", "-o", type=click.Path(path_type=Path, file_okay=False), default=Path(),
              help="The folder to write to; else the present one.")  # fmt: skip
@pass_office
def issue(
    office: Office, tag: str | None, batch: str | None, donor: str, destination: str,
    verified_by: str, validated_by: str, language: str | None, output: Path,
) -> None:  # fmt: skip
    """Issue the certificate of a machine's disk, or of a batch: a signed file and its PDF."""
    from provisioner.documents import certificates, papers
    from provisioner.model.certificate import Paper, Person

    if bool(tag) == (batch is not None):
        raise click.UsageError("Say either a machine's tag or --batch NAME.")
    paper = Paper(
        donor=donor, destination=destination,
        verified_by=Person(name=verified_by), validated_by=Person(name=validated_by),
    )  # fmt: skip
    station = office.station
    with office.transaction() as session:
        if batch is not None:
            number = certificates.issue_for_batch(
                station, session, batch, paper, office.actor
            ).number
        else:
            assert tag is not None
            number = certificates.issue_for_machine(
                station, session, tag, paper, office.actor
            ).number
    sealed = certificates.read_certificate(station, number)
    output.mkdir(parents=True, exist_ok=True)
    (output / f"{number}.json").write_text(sealed + "\n")
    words = language or office.settings.language
    pdf = papers.certificate_pdf(sealed, station.key.public, words)
    (output / f"{number}.pdf").write_bytes(pdf)
    click.echo(f"{number}.json (signed) and {number}.pdf are in {output.absolute()}.")


@group.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--key", help="The issuing station's public key, 64 digits; else this station's.")
@pass_office
def verify(office: Office, files: tuple[Path, ...], key: str | None) -> None:
    """Check signed certificates; any changed byte is found."""
    from provisioner.documents import certificates

    trusted = key.strip().lower() if key else office.station.key.public
    for file in files:
        found = certificates.verify(file.read_bytes(), trusted)
        wipe = getattr(found, "wipe", None)
        show_facts([
            ("certificate", f"{found.number}: unchanged, signed by {trusted[:16]}…"),
            ("issued", found.issued_at),
            ("donor", found.paper.donor),
            ("disk", f"{wipe.medium.model} {wipe.medium.serial}, {wipe.level}" if wipe else ""),
            ("disks", "" if wipe else f"{len(getattr(found, 'wipes', ()))} erased"),
        ])  # fmt: skip
