"""Renewing a school's classroom, and how far it is."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from provisioner.cli.office import Office, pass_office
from provisioner.cli.output import Column, json_option, print_json, show_list
from provisioner.model.renewal import HomesRule, When
from provisioner.workshop import field_orders
from provisioner.workshop.field_orders import Standing

# A machine that is switched on speaks every few minutes.
SILENT_HOURS = 24.0


@click.command()
@click.argument("school")
@click.option("--release", help="NAME for the newest of a recipe, or NAME@VERSION.")
@click.option(
    "--when",
    type=click.Choice([when.value for when in When]),
    default=When.QUIET.value,
    show_default=True,
    help="“quiet” starts machines again outside the school's hours only.",
)
@click.option("--machine", "tag", default="", help="Only this one.")
@click.option("--erase-homes", is_flag=True, help="Remove what pupils saved; it is written down.")
@click.option("--withdraw", is_flag=True, help="Take back what no machine has been told yet.")
@json_option
@pass_office
def renew(office: Office, school: str, release: str | None, when: str, tag: str,
          erase_homes: bool, withdraw: bool, as_json: bool) -> None:  # fmt: skip
    """Renew a school's classroom with a release, or show how far that is.

    Machines fetch it beside their running system, once over the line for the whole room, start
    it when nobody works there, check it, and stay with the old system if anything is wrong.
    """
    if withdraw:
        with office.transaction() as session:
            count = field_orders.withdraw(office.station, session, school, office.actor)
        click.echo(f"{count} orders withdrawn.", err=True)
    elif release:
        homes = HomesRule.ERASE if erase_homes else HomesRule.KEEP
        with office.transaction() as session:
            ordered = field_orders.renew_school(
                office.station, session, school, release, office.actor,
                when=When(when), homes=homes, tag=tag,
            )  # fmt: skip
            count = len(ordered)
        click.echo(f"{count} machines will be told when they next speak.", err=True)
    with office.reading() as session:
        rows = field_orders.standings(session, school)
    if as_json:
        print_json([as_data(row) for row in rows])
    else:
        show_list(rows, columns(datetime.now(UTC)), False, "No machines.")


def as_data(row: Standing) -> dict[str, object]:
    """One machine for programs."""
    return {
        "machine": row.asset_tag, "seat": row.seat, "release": row.release, "wanted": row.wanted,
        "state": row.state, "why": row.why, "last_seen": row.last_seen.isoformat(),
        "health": row.health.model_dump(mode="json") if row.health else None,
    }  # fmt: skip


def columns(now: datetime) -> tuple[Column[Standing], ...]:
    """The table; each claim stands beside how old it is."""
    return (
        Column("machine", lambda row: row.asset_tag),
        Column("release", lambda row: row.release),
        Column("wanted", lambda row: row.wanted),
        Column("renewal", lambda row: _renewal(row),
               lambda row: "bold red" if row.state == "failed" else ""),
        Column("health", lambda row: _health(row)),
        Column("last seen", lambda row: age(now, row.last_seen),
               lambda row: "yellow" if _silent(now, row.last_seen) else ""),
    )  # fmt: skip


def age(now: datetime, then: datetime) -> str:
    """How long ago, in the largest whole unit; the future of a wrong clock is “now”."""
    seconds = max((now - then).total_seconds(), 0.0)
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return "now"


def _silent(now: datetime, then: datetime) -> bool:
    return (now - then).total_seconds() > SILENT_HOURS * 3600


def _renewal(row: Standing) -> str:
    if row.state == "given" and row.health and row.health.renewing:
        return row.health.renewing
    return f"{row.state}: {row.why}" if row.why else row.state


def _health(row: Standing) -> str:
    """Silence is unknown, never well."""
    if row.health is None:
        return "unknown"
    words = []
    if row.health.state_free is not None:
        words.append(f"{row.health.state_free / 1e9:.1f} GB free")
    if row.health.temperature_c is not None:
        words.append(f"{row.health.temperature_c:.0f} °C")
    if row.health.disk.passed is False:
        words.append("disk failing")
    return ", ".join(words) or "unknown"
