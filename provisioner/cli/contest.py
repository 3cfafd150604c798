"""Contests: the organiser's folder, publishing it, and the entries that came home."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provisioner.cli.office import Office, pass_office
from provisioner.cli.output import Column, json_option, moment, print_json, show_facts, show_list
from provisioner.cli.shape import Contents
from provisioner.errors import NotFoundError
from provisioner.model.contest import STATES

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from provisioner.contest.folder import Contest
    from provisioner.contest.judging import Entry, SchoolStanding
    from provisioner.contest.room import RoomOutcome, SeatOutcome


@click.group("contest", cls=Contents)
def group() -> None:
    """A contest: software to every school, and the entries home."""


@group.command()
@click.argument("name")
@json_option
@pass_office
def check(office: Office, name: str, as_json: bool) -> None:
    """Name every mistake in a contest's folder."""
    from provisioner.contest.folder import check_contest

    problems = check_contest(office.settings.inventories_dir, name)
    if as_json:
        print_json([{"message": problem.message, "hint": problem.hint} for problem in problems])
    else:
        for problem in problems:
            click.echo(str(problem), err=True)
        if not problems:
            click.echo(f"{name} is complete.")
    if problems:
        raise SystemExit(1)


@group.command()
@click.argument("name")
@click.option("--state", type=click.Choice(STATES), default="prepared", show_default=True)
@pass_office
def publish(office: Office, name: str, state: str) -> None:
    """Build and sign the contest's layer and bring it to every enrolled school in waves."""
    from provisioner.contest import publishing

    found = _contest(office, name)
    layer = publishing.make_layer(office.station, found)
    with office.transaction() as session:
        row = publishing.publish(session, found, layer, state, office.actor)
        click.echo(f"{layer.id} is on its way as “{row.name}”.")


@group.command()
@click.argument("name")
@json_option
@pass_office
def status(office: Office, name: str, as_json: bool) -> None:
    """Show every enrolled school: not reached, prepared, on, unknown, handed in."""
    from provisioner.contest import judging
    from provisioner.store.tables import now

    found = _contest(office, name)
    columns: tuple[Column[SchoolStanding], ...] = (
        Column("school", lambda s: s.school),
        Column("machines", lambda s: s.machines),
        Column("not reached", lambda s: s.not_reached),
        Column("prepared", lambda s: s.prepared),
        Column("on", lambda s: s.on),
        Column("unknown", lambda s: s.unknown),
        Column("entries", lambda s: s.entries),
        Column("last heard", lambda s: moment(s.last_heard) or "never"),
    )
    with office.reading() as session:
        rows = judging.schools(session, name, found.settings, now())
        if as_json:
            print_json([{**dataclasses.asdict(row), "last_heard": moment(row.last_heard)}
                        for row in rows])  # fmt: skip
        else:
            show_list(rows, columns, False, "No school is enrolled.")


@group.command("entries")
@click.argument("name")
@json_option
@pass_office
def entries_(office: Office, name: str, as_json: bool) -> None:
    """List the entries that came home, with what is in them and which are alike."""
    found = _contest(office, name)
    columns: tuple[Column[Entry], ...] = (
        Column("receipt", lambda e: e.row.code),
        Column("standing", lambda e: e.standing, lambda e: "" if e.standing == "counts" else "dim"),
        Column("school", lambda e: e.row.school),
        Column("group", lambda e: e.row.age_group),
        Column("title", lambda e: e.row.title),
        Column("handed in", lambda e: moment(e.row.handed_in_at)),
        Column("lateness", lambda e: e.row.lateness),
        Column("sprites", lambda e: e.facts.sprites if e.facts else e.row.refused),
        Column("blocks", lambda e: e.facts.blocks if e.facts else ""),
        Column("same as", lambda e: " ".join(e.same_as)),
        Column("alike", lambda e: " ".join(e.like)),
    )
    with office.reading() as session:
        rows = _entries(session, found)
        if as_json:
            print_json([{column.title: column.read(row) for column in columns} for row in rows])
        else:
            show_list(rows, columns, False, "No entry has come yet.")


@group.command("import")
@click.argument("name")
@click.argument("stick", type=click.Path(path_type=Path, exists=True))
@pass_office
def import_(office: Office, name: str, stick: Path) -> None:
    """Take in the entries on a USB stick, and lay the receipts onto it; or those in the file that a
    teacher saved."""
    from provisioner.api.contests import open_intake
    from provisioner.handin.stick import bring_in, bring_in_zip

    bring = bring_in if stick.is_dir() else bring_in_zip
    carried = bring(stick, open_intake(office.station, name))
    click.echo(f"{carried.whole} entries are here.")
    for problem in carried.problems:
        click.echo(problem, err=True)
    if carried.problems:
        raise SystemExit(1)


@group.command()
@click.argument("name")
@click.option("--into", type=click.Path(path_type=Path, dir_okay=False), required=True,
              help="The zip file to write.")  # fmt: skip
@pass_office
def collect(office: Office, name: str, into: Path) -> None:
    """Write all entries that count, with their table and pictures, into a zip."""
    from provisioner.contest.results import write_zip

    with office.reading() as session:
        rows = _entries(session, _contest(office, name))
    count = write_zip(rows, office.settings.state_dir, name, into)
    click.echo(f"{count} entries are in {into}.")


@group.command("judges-sheet")
@click.argument("name")
@click.option("--into", type=click.Path(path_type=Path, dir_okay=False), required=True,
              help="The PDF to write.")  # fmt: skip
@click.option("--language", type=click.Choice(["zh", "en"]), default="zh", show_default=True)
@pass_office
def judges_sheet(office: Office, name: str, into: Path, language: str) -> None:
    """Write the judges' sheet, without names of pupils, as a PDF."""
    from provisioner.contest import results

    found = _contest(office, name)
    with office.reading() as session:
        into.write_bytes(results.judges_sheet(_entries(session, found), name, found.settings,
                                              language))  # fmt: skip
    click.echo(f"The judges' sheet is in {into}.")


@group.command()
@click.argument("name")
@click.argument("school")
@click.option("--state", type=click.Choice(STATES), required=True, help="The state to bring it to.")
@pass_office
def room(office: Office, name: str, school: str, state: str) -> None:
    """Bring a room into a state of the contest over SSH, where the station is in the room."""
    from provisioner.contest.room import bring_room, seats_of

    found = _enrolled(office, name, school)
    with office.reading() as session:
        seats = seats_of(office.station, session, school)
    with _visit(office, f"contest-{state}") as folder:
        _show_room(bring_room(office.station, found, seats, state, folder))


@group.command()
@click.argument("name")
@click.argument("school")
@pass_office
def reset(office: Office, name: str, school: str) -> None:
    """Make every pupil's seat of a room fresh between two rounds, and look whether it is.

    Files are put aside, what was handed in stays."""
    from provisioner.contest.room import reset_room, seats_of

    _enrolled(office, name, school)
    with office.reading() as session:
        seats = seats_of(office.station, session, school, pupils_only=True)
    with _visit(office, "contest-reset") as folder:
        _show_room(reset_room(office.station, seats, folder))


@group.command()
@click.argument("name")
@click.option("--receipt", default="", help="Of this entry only.")
@click.option("--due", is_flag=True, help="Of all entries kept longer than the contest's rule.")
@pass_office
def erase(office: Office, name: str, receipt: str, due: bool) -> None:
    """Forget whose entries are: names and classes go, the games stay."""
    from provisioner.contest import results
    from provisioner.entry.receipt import read_code
    from provisioner.store.tables import now

    found = _contest(office, name)
    if bool(receipt) == due:
        raise click.UsageError("Say either --receipt or --due.")
    try:
        code = read_code(receipt) if receipt else ""
    except ValueError as error:
        raise NotFoundError(str(error)) from error
    with office.transaction() as session:
        before = results.due(found.settings, now()) if due else None
        count = results.erase_personal(session, name, office.actor, code=code, before=before)
    with office.reading() as session:
        results.erase_papers(session, office.settings.state_dir, name)
    show_facts([("erased", count)])


def _enrolled(office: Office, name: str, school: str) -> Contest:
    from provisioner.contest.room import check_enrolled

    found = _contest(office, name)
    check_enrolled(found, school)
    return found


@contextmanager
def _visit(office: Office, what: str) -> Iterator[Path]:
    """A folder for one visit of a room; its logs stay."""
    office.settings.logs_dir.mkdir(parents=True, exist_ok=True)
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    yield office.settings.logs_dir / f"{what}-{moment}"


def _show_room(outcome: RoomOutcome) -> None:
    """The seats, how long it took; exit code 1 when one is not as it should be."""
    columns: tuple[Column[SeatOutcome], ...] = (
        Column("machine", lambda s: s.asset_tag),
        Column("seat", lambda s: s.seat),
        Column("changed", lambda s: s.changed),
        Column("result", lambda s: s.problem or "done, and looked at",
               lambda s: "red" if s.problem else ""),
    )  # fmt: skip
    show_list(outcome.seats, columns, False, "No seat.")
    click.echo(f"{len(outcome.seats)} seats in {outcome.seconds:.0f} s.")
    if not outcome.well:
        raise SystemExit(1)


def _contest(office: Office, name: str) -> Contest:
    from provisioner.contest.folder import load_contest

    return load_contest(office.settings.inventories_dir, name)


def _entries(session: Session, found: Contest) -> list[Entry]:
    from provisioner.contest import judging

    return judging.entries_of(session, found)
