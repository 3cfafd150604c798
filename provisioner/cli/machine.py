"""Machines: what each is doing, and what only a person can decide."""

from __future__ import annotations

from pathlib import Path

import click

from provisioner.api import reading
from provisioner.api.views import DiskView, MachineView, RunView, TileView
from provisioner.cli.office import Office, pass_office
from provisioner.cli.output import (
    Column,
    json_option,
    moment,
    print_json,
    printable,
    show_facts,
    show_list,
)
from provisioner.cli.shape import Contents
from provisioner.lifecycle import RunState, Verb
from provisioner.stages.choose_disk import describe
from provisioner.workshop import desk, errands, loader_password, recognition
from provisioner.workshop.passport import seal_passport

STYLES = {"fail": "bold red", "ask": "bold yellow", "done": "green", "work": "cyan"}
STATE_STYLES = {RunState.FAILED: "red", RunState.SUCCEEDED: "green", RunState.RUNNING: "cyan"}

COLUMNS: tuple[Column[TileView], ...] = (
    Column("machine", lambda t: t.asset_tag or "(new)", lambda t: STYLES.get(t.tone, "")),
    Column("model", lambda t: t.model),
    Column("batch", lambda t: t.batch),
    Column("stands at", lambda t: t.milestone),
    Column("doing", lambda t: t.running),
    Column("needs", lambda t: t.needs_hand.message if t.needs_hand else "", lambda _: "red"),
)
RUN_COLUMNS: tuple[Column[RunView], ...] = (
    Column("stage", lambda r: r.verb),
    Column("outcome", lambda r: r.state, lambda r: STATE_STYLES.get(r.state, "")),
    Column("started", lambda r: moment(r.started_at)),
    Column("seconds", lambda r: "" if r.seconds is None else r.seconds),
    Column("problem", lambda r: r.problem.message if r.problem else ""),
)


@click.group("machine", cls=Contents)
def group() -> None:
    """See what machines do, and decide what only a person can."""


@group.command("list")
@click.option("--batch", help="Only the machines of this batch.")
@json_option
@pass_office
def list_(office: Office, batch: str | None, as_json: bool) -> None:
    """List machines by asset tag."""
    with office.reading() as session:
        if batch:
            tiles = reading.tiles(office.station, session, batch)
        else:
            tiles = reading.all_tiles(office.station, session)
    show_list(tiles, COLUMNS, as_json, "No machine yet: plug one in and switch it on.")


@group.command()
@click.argument("tag")
@json_option
@pass_office
def show(office: Office, tag: str, as_json: bool) -> None:
    """Show one machine: hardware, disks, stages."""
    with office.reading() as session:
        machine = reading.machine(office.station, session, tag)
    if as_json:
        print_json(machine)
        return
    show_facts(_facts(machine))
    click.echo()
    show_list(machine.runs, RUN_COLUMNS, False, "No stage has run yet.")


@group.command("try-again")
@click.argument("tag")
@pass_office
def try_again(office: Office, tag: str) -> None:
    """The cause is mended: start the stage that failed again."""
    with office.transaction() as session:
        desk.try_again(office.station, session, tag, office.actor)
    click.echo(f"{tag.upper()} goes on.")


@group.command("let-sleep")
@click.argument("tag")
@pass_office
def let_sleep(office: Office, tag: str) -> None:
    """Let it sleep for ten seconds before it erases: that releases a frozen disk."""
    with office.transaction() as session:
        errands.let_sleep(office.station, session, tag, office.actor)
    click.echo(f"{printable(tag).upper()} sleeps and wakes. If not, press its power button.")


@group.command("test-memory")
@click.argument("tag")
@pass_office
def test_memory(office: Office, tag: str) -> None:
    """Start memtest86+ at its next start, until “try-again”."""
    with office.transaction() as session:
        machine = errands.test_memory(office.station, session, tag, office.actor)
        hint = str((machine.needs_hand or {}).get("hint", ""))
    click.echo(hint)


@group.command("use-disk")
@click.argument("tag")
@click.argument("serial")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_office
def use_disk(office: Office, tag: str, serial: str, yes: bool) -> None:
    """Say which disk of a machine is used. EVERYTHING ON IT IS ERASED."""
    with office.reading() as session:
        machine = reading.machine(office.station, session, tag)
    disk = next((d.disk for d in machine.disks if d.disk.serial == serial), None)
    what = printable(describe(disk)) if disk else f"the disk {printable(serial)}"
    _confirm(f"Everything on {what} of {machine.tile.asset_tag} will be destroyed.", yes)
    with office.transaction() as session:
        chosen = desk.use_disk(office.station, session, tag, serial, office.actor)
    click.echo(f"{machine.tile.asset_tag} will use {printable(describe(chosen))}.")


@group.command()
@click.argument("number", type=int)
@click.option("--tag", help="The machine that it is, with a part exchanged.")
@click.option("--new", is_flag=True, help="It was never here before.")
@pass_office
def identify(office: Office, number: int, tag: str | None, new: bool) -> None:
    """Say which machine a newcomer is that shares a part with a known one (its id: list --json)."""
    if new == (tag is not None):
        raise click.UsageError("Say either --tag TAG or --new.")
    with office.transaction() as session:
        recognition.say_who(office.station, session, number, tag, office.actor)
    click.echo("It is a new machine." if new else f"It is {printable(tag).upper()}.")


@group.command()
@click.argument("tag")
@click.argument("stage", type=click.Choice([verb.value for verb in desk.REPEATABLE]))
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_office
def redo(office: Office, tag: str, stage: str, yes: bool) -> None:
    """Do a stage again; everything after it is no longer proved."""
    with office.reading() as session:
        machine = reading.machine(office.station, session, tag)
    if stage in (Verb.DIAGNOSE, Verb.WIPE, Verb.IMAGE):
        disk = describe(machine.target) if machine.target else "its disk"
        _confirm(f"Everything on {printable(disk)} of {machine.tile.asset_tag} will be destroyed.",
                 yes)  # fmt: skip
    with office.transaction() as session:
        desk.redo(office.station, session, tag, Verb(stage), office.actor)
    click.echo(f"{machine.tile.asset_tag} does “{stage}” again.")


@group.command("loader-password")
@click.argument("tag")
@pass_office
def loader_password_(office: Office, tag: str) -> None:
    """Show what opens a machine's boot menu, which pupils cannot change."""
    with office.reading() as session:
        machine = desk.find_machine(session, tag)
        name = machine.asset_tag or ""
    click.echo(f"user {loader_password.USER}, password "
               f"{loader_password.password_of(office.settings.state_dir, name)}")  # fmt: skip


@group.command()
@click.argument("tag")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="A file instead of here.")
@pass_office
def passport(office: Office, tag: str, output: Path | None) -> None:
    """Print a machine's signed passport (a DSSE envelope in JSON)."""
    with office.reading() as session:
        sealed = seal_passport(office.station, session, desk.find_machine(session, tag))
    if output is None:
        click.echo(sealed)
    else:
        output.write_text(sealed + "\n")


def _confirm(destroyed: str, yes: bool) -> None:
    if not yes:
        click.confirm(f"{destroyed} Go on?", abort=True)


def _facts(machine: MachineView) -> list[tuple[str, object]]:
    hardware, tile = machine.hardware, machine.tile
    problem = tile.needs_hand
    return [
        ("machine", tile.asset_tag),
        ("stands at", tile.milestone),
        ("doing", tile.running),
        ("needs a hand", f"{problem.message} {problem.hint}" if problem else ""),
        ("batch", f"{tile.batch}, seat {tile.seat}" if tile.batch else ""),
        ("school", machine.school),
        ("release", machine.release),
        ("model", tile.model),
        ("processor", f"{hardware.cpu} ({hardware.cpu_threads} threads)"),
        ("memory", f"{hardware.memory_mib} MiB"),
        ("firmware", f"{hardware.firmware}, Secure Boot {_secure(hardware.secure_boot)}"),
        ("address", machine.address),
        ("starts from", machine.starts_from),
        ("last heard", moment(machine.last_seen)),
        *(("disk", _disk_line(entry)) for entry in machine.disks),
    ]


def _secure(secure_boot: bool | None) -> str:
    return {True: "on", False: "off", None: "not there"}[secure_boot]


def _disk_line(entry: DiskView) -> str:
    use = "chosen" if entry.chosen else entry.why_not or "may be chosen"
    return f"{describe(entry.disk)}, {entry.disk.transport} ({use})"
