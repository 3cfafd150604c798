"""Schools: one folder each, checked before anything starts."""

from __future__ import annotations

import click

from provisioner.api import reading
from provisioner.api.views import SchoolView
from provisioner.cli.office import Office, pass_office
from provisioner.cli.output import Column, json_option, print_json, show_list
from provisioner.cli.shape import Contents
from provisioner.errors import ConfigError
from provisioner.fleet.school import find_school, load_school
from provisioner.yaml_file import dump

COLUMNS: tuple[Column[SchoolView], ...] = (
    Column("school", lambda s: s.id),
    Column("name", lambda s: f"{s.name.en} · {s.name.zh}"),
    Column("province", lambda s: s.province),
    Column("seats", lambda s: s.seats or ""),
    Column("mistakes", lambda s: len(s.mistakes) or "", lambda _: "bold red"),
)


@click.group("school", cls=Contents)
def group() -> None:
    """One folder a school: what its machines are to be like."""


@group.command("list")
@json_option
@pass_office
def list_(office: Office, as_json: bool) -> None:
    """List the schools that have a folder."""
    schools = reading.schools(office.settings)
    folder = office.settings.inventories_dir
    show_list(schools, COLUMNS, as_json, f"No school has a folder in {folder}.")


@group.command()
@click.argument("names", nargs=-1)
@json_option
@pass_office
def check(office: Office, names: tuple[str, ...], as_json: bool) -> None:
    """Check schools' folders and name every mistake: file, line, field."""
    wanted = [reading.school(office.settings, name) for name in names]
    schools = wanted if names else reading.schools(office.settings)
    if as_json:
        print_json(schools)
    for school in schools if not as_json else ():
        click.echo("\n".join(school.mistakes) or f"{school.id}: in order, {school.seats} seats.")
    wrong = [school.id for school in schools if school.mistakes]
    if wrong:
        raise ConfigError(f"Not in order: {', '.join(wrong)}.")


@group.command()
@click.argument("name")
@json_option
@pass_office
def show(office: Office, name: str, as_json: bool) -> None:
    """Show a school's settings and seats, as machines get them."""
    school = load_school(find_school(office.settings.inventories_dir, name))
    if as_json:
        print_json(school)
    else:
        click.echo(dump(school.model_dump(mode="json", exclude={"folder"})), nl=False)
