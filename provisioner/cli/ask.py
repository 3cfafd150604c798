"""Asking a school's machines for something besides a renewal."""

from __future__ import annotations

import click

from provisioner.cli import machine
from provisioner.cli.office import Office, pass_office
from provisioner.cli.output import printable
from provisioner.model.renewal import When
from provisioner.workshop import desk, field_errands, runs

ROLL_BACK = "roll-back"
WHAT = (runs.RECONFIGURE, ROLL_BACK, runs.RESET_HOMES, runs.LOGS, runs.RESTART)


@click.command()
@click.argument("school")
@click.argument("what", type=click.Choice(WHAT))
@click.option("--machine", "tag", default="", help="Only this one.")
@click.option("--when", type=click.Choice([when.value for when in When]),
              default=When.QUIET.value, show_default=True)  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_office
def ask(office: Office, school: str, what: str, tag: str, when: str, yes: bool) -> None:
    """Ask a school's machines to configure themselves anew, to go back to the release before, to
    empty the users' folders, for their logs, or to restart.

    They hear it when they next speak; what came of it is on each machine's page.
    """
    if what == runs.RESET_HOMES and not yes:
        click.confirm("Everything that was saved on these machines will be gone. Go on?",
                      abort=True)  # fmt: skip
    with office.transaction() as session:
        if what == ROLL_BACK:
            chosen = field_errands.roll_back(
                office.station, session, school, office.actor, tag, When(when)
            )
        else:
            work = field_errands.work_of(what, When(when))
            chosen = field_errands.order_errand(
                office.station, session, school, work, office.actor, tag
            )
        count = len(chosen)
    click.echo(f"{count} machines will be told when they next speak.", err=True)


@machine.group.command()
@click.argument("tag")
@pass_office
def log(office: Office, tag: str) -> None:
    """Show the log that a machine in its school sent last (provisioner ask SCHOOL logs)."""
    with office.reading() as session:
        text = field_errands.log_of(session, desk.find_machine(session, tag))
    click.echo("\n".join(printable(line) for line in text.splitlines()))
