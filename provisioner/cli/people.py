"""Who may log in on the dashboard, and tokens for scripts."""

from __future__ import annotations

import click

from provisioner.accounts import people, sessions, tokens
from provisioner.accounts.people import Person, PersonView
from provisioner.accounts.roles import Right, Role
from provisioner.accounts.tokens import TokenPlan, TokenView
from provisioner.api.auth import STATION_ITSELF
from provisioner.cli.office import Office, pass_office
from provisioner.cli.output import Column, fitting, json_option, moment, show_list
from provisioner.cli.shape import Contents

PEOPLE: tuple[Column[PersonView], ...] = (
    Column("login", lambda p: p.login),
    Column("role", lambda p: p.role),
    Column("schools", lambda p: ", ".join(p.schools) or "all"),
    Column("password", lambda p: "chosen" if p.has_password else "not yet"),
    Column("state", lambda p: "open" if p.active else "closed"),
)
TOKENS: tuple[Column[TokenView], ...] = (
    Column("token", lambda t: t.name),
    Column("scopes", lambda t: ", ".join(t.scopes)),
    Column("made by", lambda t: t.made_by),
    Column("ends", lambda t: "turned off" if t.revoked else moment(t.ends_at)),
)
_ROLES = click.Choice([role.value for role in Role])


@click.group("account", cls=Contents)
def account() -> None:
    """Who may log in on the dashboard."""


@account.command("list")
@json_option
@pass_office
def list_accounts(office: Office, as_json: bool) -> None:
    """List all accounts."""
    with office.reading() as session:
        show_list(people.people(session), PEOPLE, as_json, "No account yet.")


@account.command("add")
@click.argument("login")
@click.option(
    "--role", type=_ROLES, default=Role.VOLUNTEER.value, show_default=True,
    help="What this person is here for.",
)  # fmt: skip
@click.option("--name", default="", help="The person's name.")
@click.option("--school", "schools", multiple=True, help="Only this school; may be given often.")
@pass_office
def add_account(office: Office, login: str, role: str, name: str, schools: tuple[str, ...]) -> None:
    """Make an account and print the code that lets its owner in once, to choose a password."""
    person = fitting(Person, login=login, role=role, name=name, schools=schools)
    with office.transaction() as session:
        row = people.add_person(session, person, office.actor)
        click.echo(sessions.new_code(session, row, office.actor))


@account.command("change")
@click.argument("login")
@click.option("--role", type=_ROLES, required=True, help="What this person is here for.")
@click.option("--school", "schools", multiple=True, help="Only this school; may be given often.")
@click.option("--closed", is_flag=True, help="Nobody logs in by it any more.")
@pass_office
def change_account(
    office: Office, login: str, role: str, schools: tuple[str, ...], closed: bool
) -> None:
    """Change what an account may; whoever is logged in by it is logged out."""
    with office.transaction() as session:
        people.change_person(session, login, Role(role), schools, not closed, office.actor)


@account.command("code")
@click.argument("login")
@pass_office
def make_code(office: Office, login: str) -> None:
    """Print a code that lets an account in once, for who has forgotten the password."""
    with office.transaction() as session:
        row = people.find_person(session, login)
        click.echo(sessions.new_code(session, row, office.actor))


@click.group("token", cls=Contents)
def token() -> None:
    """Tokens with which scripts use the API."""


@token.command("list")
@json_option
@pass_office
def list_tokens(office: Office, as_json: bool) -> None:
    """List all tokens, never their secrets."""
    with office.reading() as session:
        show_list(tokens.tokens(session), TOKENS, as_json, "No token yet.")


@token.command("add")
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice([right.value for right in Right]),
    default=[Right.LOOK.value], show_default=True, help="What it may; may be given often.",
)  # fmt: skip
@click.option("--days", type=int, default=90, show_default=True)
@pass_office
def add_token(office: Office, name: str, scopes: tuple[str, ...], days: int) -> None:
    """Make a token and print it, this once."""
    plan = fitting(TokenPlan, name=name, scopes=scopes, days=days)
    with office.transaction() as session:
        click.echo(tokens.add_token(session, plan, STATION_ITSELF.as_actor(office.actor)))


@token.command("revoke")
@click.argument("name")
@pass_office
def revoke_token(office: Office, name: str) -> None:
    """Turn a token off for good."""
    with office.transaction() as session:
        tokens.revoke_token(session, name, office.actor)
