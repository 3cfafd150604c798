"""Schools: one folder each, checked before anything starts."""

from __future__ import annotations

import click

from provisioner.api import reading
from provisioner.api.views import SchoolView
from provisioner.cli.office import Office, pass_office
from provisioner.cli.output import Column, json_option, print_json, show_list
from provisioner.cli.shape import Contents
from provisioner.errors import ConfigError, nearest
from provisioner.fleet.difference import Difference, differences, last_configured, plain
from provisioner.fleet.school import find_school, load_school
from provisioner.model.base import Model
from provisioner.model.school import school_schema_text
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


@group.command()
@click.argument("name")
@click.option("--name-en", prompt="Name in English", help="For example New Shoots School.")
@click.option("--name-zh", prompt="Name in Chinese", help="For example 新芽学校.")
@click.option("--province", prompt=True, help="In English or Chinese.")
@click.option("--teachers", default=1, show_default=True, help="Teacher's machines.")
@click.option("--pupils", default=24, show_default=True, help="Pupils' machines.")
@pass_office
def new(
    office: Office, name: str, name_en: str, name_zh: str, province: str, teachers: int, pupils: int
) -> None:
    """Write a new school's folder, with all that a school may wish as comments."""
    from pydantic import ValidationError

    from provisioner.fleet.new_school import Draft, new_school

    try:
        draft = Draft(name_en=name_en, name_zh=name_zh, province=province,
                      teachers=teachers, pupils=pupils)  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{first['loc'][0]}: {first['msg']}.") from error
    school = new_school(office.settings.inventories_dir, name, draft)
    click.echo(f"{school.folder}: {len(school.seats)} seats. Now edit school.yml there.")


class MachineDifference(Model):
    """What one machine would get anew; `revision` when only files beside school.yml changed."""

    asset_tag: str
    seat: str
    fields: tuple[Difference, ...]


@group.command()
@click.argument("name")
@click.argument("other", required=False)
@json_option
@pass_office
def diff(office: Office, name: str, other: str | None, as_json: bool) -> None:
    """What machines were given and the folder now says otherwise; or two schools side by side."""
    schools = office.settings.inventories_dir
    here = plain(load_school(find_school(schools, name)).settings)
    if other is not None:
        found = differences(here, plain(load_school(find_school(schools, other)).settings))
        given = [MachineDifference(asset_tag=other, seat="", fields=tuple(found))]
    else:
        given = [
            MachineDifference(asset_tag=machine.asset_tag, seat=machine.seat,
                              fields=tuple(differences(machine.settings, here)))
            for machine in last_configured(office.settings.logs_dir, name)
        ]  # fmt: skip
    if as_json:
        print_json(given)
        return
    if not given:
        click.echo(f"No machine of {name} has been configured from here.", err=True)
    for machine in given:
        title = f"{machine.asset_tag} {machine.seat}".strip()
        click.echo(f"{title}: " + ("as the folder says" if not machine.fields else ""))
        for field in machine.fields:
            click.echo(f"  {field.field}: {field.before} → {field.after}")


@group.command()
def schema() -> None:
    """Print the JSON Schema of school.yml, for editors."""
    click.echo(school_schema_text(), nl=False)


SECRETS = ("teacher", "pupil", "wifi_password")


@group.command()
@click.argument("name")
@click.argument("secret", required=False)
@pass_office
def secret(office: Office, name: str, secret: str | None) -> None:
    """Print the passwords of a school's accounts, or set one secret that is asked for.

    Secrets: teacher, pupil (the accounts' passwords), wifi_password.
    """
    from provisioner.fleet.vault import read_secrets, update_vault, vault_of

    school = load_school(find_school(office.settings.inventories_dir, name))
    vault = vault_of(school, office.settings.state_dir)
    found = read_secrets(vault)
    if secret is None:
        for role, password in found.account_passwords.items():
            account = school.settings.accounts
            login = (account.teacher if role.value == "teacher" else account.pupil).login
            click.echo(f"{login}\t{password.get_secret_value()}")
        return
    if secret not in SECRETS:
        raise ConfigError(f"There is no secret “{secret}”.", nearest(secret, SECRETS))
    value = click.prompt(secret, hide_input=True, confirmation_prompt=True)
    if secret == "wifi_password":  # noqa: S105 - the secret's name
        update_vault(vault, {secret: value})
    else:
        kept = {
            str(role): item.get_secret_value() for role, item in found.account_passwords.items()
        }
        update_vault(vault, {"account_passwords": {**kept, secret: value}})
    click.echo(f"The vault of {name} has it. Configure its machines again.")
