"""Accounts and tokens from the console, without anybody's password."""

from __future__ import annotations

from provisioner.accounts import sessions
from provisioner.workshop.station import Station
from tests.unit.cli.conftest import Terminal


def test_an_account_is_made_changed_and_closed(terminal: Terminal, station: Station) -> None:
    code = terminal.run("account", "add", "mei", "--role", "operator").stdout.strip()
    with station.database.transaction() as session:
        assert sessions.by_code(session, code).login == "mei"
    assert len(terminal.run("account", "code", "mei").stdout.strip()) == 14
    terminal.run("account", "change", "mei", "--role", "organiser", "--school", "new-shoots")
    (found,) = terminal.json("account", "list")
    assert (found["role"], found["schools"], found["has_password"]) == (
        "organiser", ["new-shoots"], False,
    )  # fmt: skip
    terminal.run("account", "change", "mei", "--role", "organiser", "--closed")
    assert "closed" in terminal.run("account", "list").stdout
    assert terminal.run("account", "add", "M E I", code=2)
    assert "nearest" not in terminal.run("account", "code", "mai", code=1).stderr


def test_a_token_is_printed_once_and_turned_off(terminal: Terminal, station: Station) -> None:
    token = terminal.run("token", "add", "backup", "--scope", "look").stdout.strip()
    assert token.startswith("cpt_")
    listed = terminal.run("token", "list").stdout
    assert "backup" in listed and token not in listed
    terminal.run("token", "revoke", "backup")
    assert "turned off" in terminal.run("token", "list").stdout
