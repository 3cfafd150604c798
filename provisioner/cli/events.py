"""The journal: who did what, and what happened by itself."""

from __future__ import annotations

import click

from provisioner.api import reading
from provisioner.api.views import EventView
from provisioner.cli.office import Office, pass_office
from provisioner.cli.output import Column, json_option, moment, show_list
from provisioner.web.speech import Speech

COLUMNS: tuple[Column[EventView], ...] = (
    Column("id", lambda e: e.id),
    Column("at", lambda e: moment(e.at)),
    Column("kind", lambda e: e.kind),
    Column("actor", lambda e: e.actor),
    Column("machine", lambda e: e.machine),
    Column("batch", lambda e: e.batch),
    Column("what happened", lambda e: Speech("en").event(e)),
)


@click.command()
@click.option("--after", type=click.IntRange(0), help="Only events behind this number.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--kind", help="Only this kind, for example run-failed.")
@click.option("--machine", help="Only this machine.")
@json_option
@pass_office
def events(office: Office, after: int | None, limit: int, kind: str | None,
           machine: str | None, as_json: bool) -> None:  # fmt: skip
    """Show the journal: the latest events, or those behind a number."""
    with office.reading() as session:
        found = reading.events(session, after=after or 0, limit=limit, kind=kind, machine=machine,
                               newest=after is None)  # fmt: skip
    found = found if after is not None else found[::-1]
    show_list(found, COLUMNS, as_json, "Nothing has happened yet.")
