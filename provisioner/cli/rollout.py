"""Rollouts: what goes to many schools in waves."""

from __future__ import annotations

from pathlib import Path

import click

from provisioner import yaml_file
from provisioner.cli.office import Office, pass_office
from provisioner.cli.output import Column, json_option, moment, print_json, show_facts, show_list
from provisioner.cli.shape import Contents
from provisioner.fleet.rollout import SchoolFigures
from provisioner.model.rollout import RolloutPlan


@click.group("rollout", cls=Contents)
def group() -> None:
    """What goes to many schools in waves, stops by itself, and can be taken back."""


@group.command()
@click.argument("plan", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@pass_office
def start(office: Office, plan: Path) -> None:
    """Start the rollout that the YAML file PLAN describes."""
    from provisioner.workshop.in_the_field import roll_out

    read = yaml_file.load(plan, RolloutPlan)
    with office.transaction() as session:
        row = roll_out(office.station, session, read, office.actor)
        click.echo(f"{row.name} is {row.state}, in wave {read.waves[row.wave].name}.")


@group.command("list")
@json_option
@pass_office
def list_(office: Office, as_json: bool) -> None:
    """List all rollouts, the newest first."""
    from provisioner.store.rollout_tables import RolloutRow

    columns: tuple[Column[RolloutRow], ...] = (
        Column("rollout", lambda r: r.name),
        Column("track", lambda r: r.track),
        Column("value", lambda r: r.plan["value"]),
        Column("state", lambda r: r.state, lambda r: "bold red" if r.state == "halted" else ""),
        Column("wave", lambda r: r.plan["waves"][r.wave]["name"]),
        Column("reason", lambda r: r.reason),
        Column("started", lambda r: moment(r.started_at)),
    )
    with office.reading() as session:
        rows = session.query(RolloutRow).order_by(RolloutRow.id.desc()).all()
        if as_json:
            print_json([{c.title: str(c.read(r)) for c in columns} for r in rows])
        else:
            show_list(rows, columns, False, "No rollout yet.")


@group.command()
@click.argument("name")
@json_option
@pass_office
def show(office: Office, name: str, as_json: bool) -> None:
    """Show how far a rollout is, school by school."""
    from provisioner.fleet import rollouts
    from provisioner.store.tables import now

    columns: tuple[Column[SchoolFigures], ...] = (
        Column("school", lambda s: s.school),
        Column("wave", lambda s: "" if s.wave is None else s.wave + 1),
        Column("machines", lambda s: s.machines),
        Column("waiting", lambda s: s.waiting),
        Column("told", lambda s: s.told),
        Column("healthy", lambda s: s.healthy),
        Column("failed", lambda s: s.failed, lambda s: "bold red" if s.failed else ""),
        Column("unknown", lambda s: s.silent + s.told_silent),
    )
    with office.reading() as session:
        row = rollouts.find(session, name)
        plan = rollouts.plan_of(row)
        schools = rollouts.figures(session, row, plan, now())
        if as_json:
            print_json(
                {
                    "name": name,
                    "state": row.state,
                    "wave": row.wave,
                    "reason": row.reason,
                    "plan": row.plan,
                    "schools": [vars(school) for school in schools],
                }
            )
            return
        show_facts([("state", row.state), ("reason", row.reason), ("value", plan.value),
                    ("wave", plan.waves[row.wave].name), ("room", row.room)])  # fmt: skip
        show_list(schools, columns, False, "No school takes part.")


def _move(move: str, words: str) -> click.Command:
    @click.argument("name")
    @pass_office
    def command(office: Office, name: str) -> None:
        from provisioner.fleet import rollouts

        with office.transaction() as session:
            row = rollouts.order(session, name, move, office.actor)
            click.echo(f"{row.name} is {row.state}.")

    return click.command(move, help=words)(command)


for name, words in (
    ("pause", "Give it to no further machine until it is resumed."),
    ("resume", "Go on, also after it has halted."),
    ("take-back", "Give the former value back to all that have the new one."),
):
    group.add_command(_move(name, words))


@group.command("account-for")
@click.argument("name")
@click.argument("school")
@pass_office
def account_for(office: Office, name: str, school: str) -> None:
    """Say that it is known why SCHOOL is silent: its machines hold no place any more."""
    from provisioner.fleet import rollouts

    with office.transaction() as session:
        count = rollouts.account_for(session, name, school, office.actor)
    click.echo(f"{count} machines of {school} wait again.")
