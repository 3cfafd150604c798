"""Setting up: what is missing on this station, and which settings are in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import get_completion_class
from sqlalchemy.engine import make_url

from provisioner.cli.office import Office, pass_office
from provisioner.cli.output import Column, json_option, print_json, show_list
from provisioner.errors import StationError
from provisioner.settings import Settings

if TYPE_CHECKING:
    from provisioner.doctor import Finding

SHELLS = ("bash", "zsh", "fish")
FINDING_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}
FINDINGS: tuple[Column[Finding], ...] = (
    Column("", lambda f: f.level, lambda f: FINDING_STYLES.get(f.level, "")),
    Column("what", lambda f: f.what),
    Column("found", lambda f: f.found),
    Column("cure", lambda f: f.cure),
)
SETTINGS: tuple[Column[tuple[str, Any]], ...] = (
    Column("setting", lambda entry: entry[0]),
    Column("value", lambda entry: entry[1], lambda _: "bold"),
    Column("what it is", lambda entry: Settings.model_fields[entry[0]].description or ""),
)


@click.command()
@click.option("--interface", help="The wire the machines hang on, for example enp3s0.")
@json_option
@pass_office
def doctor(office: Office, interface: str | None, as_json: bool) -> None:
    """Say what is missing or in the way on this station, and the cure for each."""
    from provisioner.doctor import examine

    findings = examine(office.settings_with(interface=interface))
    show_list(findings, FINDINGS, as_json, "Nothing was examined.")
    bad = [finding for finding in findings if finding.level == "fail"]
    if bad:
        raise StationError(f"{len(bad)} of {len(findings)} points must be put right first.")


@click.command()
@json_option
@pass_office
def settings(office: Office, as_json: bool) -> None:
    """Show the settings in force and what each is for."""
    found = office.settings
    database = make_url(found.sqlalchemy_url).render_as_string(hide_password=True)
    values = {**found.model_dump(mode="json"), "database_url": database}
    if as_json:
        print_json(values)
    else:
        show_list(list(values.items()), SETTINGS, False, "No setting.")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes these commands in a shell.

    Put it where the shell looks for it; as root:

    \b
        provisioner completion bash > /etc/bash_completion.d/provisioner
        provisioner completion zsh  > /usr/share/zsh/site-functions/_provisioner
        provisioner completion fish > /etc/fish/completions/provisioner.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root().command
    click.echo(kind(root, {}, "provisioner", "_PROVISIONER_COMPLETE").source())
