"""Steps of the path that a person asks for by name."""

from __future__ import annotations

import click

from provisioner.cli.office import Office, pass_office
from provisioner.errors import ProofMissingError
from provisioner.lifecycle import Verb
from provisioner.workshop import desk


@click.command()
@click.argument("machine")
@pass_office
def verify(office: Office, machine: str) -> None:
    """Run every check on a machine again, now."""
    from provisioner.jobs import run_now

    with office.reading() as session:
        row = desk.find_machine(session, machine)
        number, tag = row.id, row.asset_tag
    outcome = run_now(office.serving_station(), number, Verb.VERIFY)
    if outcome.reasons:
        raise ProofMissingError(f"{tag} is not as promised. {' '.join(outcome.reasons)}")
    click.echo(f"{tag} is as promised.")


@click.command("hand-over")
@click.argument("machine")
@click.option("--received-by", required=True, help="Who signed for it at the school.")
@pass_office
def hand_over(office: Office, machine: str, received_by: str) -> None:
    """Note that the school has signed for a verified machine."""
    with office.transaction() as session:
        row = desk.hand_over(office.station, session, machine, office.actor, received_by)
        click.echo(f"{row.asset_tag} is handed over.")
