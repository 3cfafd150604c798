"""Batches: machines prepared together for one school."""

from __future__ import annotations

import click

from provisioner.api import reading
from provisioner.api.views import BatchView
from provisioner.cli.office import Office, pass_office
from provisioner.cli.output import (
    Column,
    fitting,
    json_option,
    moment,
    print_json,
    show_facts,
    show_list,
)
from provisioner.cli.shape import Contents
from provisioner.model.batch import BatchPlan, DiskRule
from provisioner.model.erasure import WipeLevel
from provisioner.model.order import Profile
from provisioner.workshop import desk

COLUMNS: tuple[Column[BatchView], ...] = (
    Column("batch", lambda b: b.name),
    Column("school", lambda b: b.school),
    Column("release", lambda b: b.release),
    Column("joined", lambda b: f"{b.joined} of {b.size}"),
    Column("ready", lambda b: b.ready, lambda b: "green" if b.ready == b.size else ""),
    Column("need a hand", lambda b: b.need_hand, lambda b: "bold red" if b.need_hand else ""),
    Column("open until", lambda b: moment(b.open_until) if b.open else "closed"),
)


@click.group("batch", cls=Contents)
def group() -> None:
    """Machines prepared together for one school."""


@group.command("open")
@click.argument("name")
@click.option("--school", required=True, help="The school's folder in the inventories.")
@click.option("--release", required=True, help="NAME for the newest of a recipe, or NAME@VERSION.")
@click.option("--size", required=True, type=int, help="How many machines may join.")
@click.option("--open-minutes", type=int, default=480, show_default=True)
@click.option(
    "--disk",
    type=click.Choice([rule.value for rule in DiskRule]),
    default=DiskRule.ONLY.value,
    show_default=True,
    help="Which disk is used when more than one could be.",
)
@click.option(
    "--wipe-level",
    type=click.Choice([level.value for level in WipeLevel]),
    default=WipeLevel.CLEAR.value,
    show_default=True,
    help="A purge that a disk cannot do is refused.",
)
@click.option(
    "--tests",
    type=click.Choice([profile.value for profile in Profile]),
    default=Profile.QUICK.value,
    show_default=True,
    help="How long the parts are tested.",
)
@json_option
@pass_office
def open_(office: Office, name: str, school: str, release: str, size: int, open_minutes: int,
          disk: str, wipe_level: str, tests: str, as_json: bool) -> None:  # fmt: skip
    """Open a batch: machines that are plugged in now join it.

    Whatever is on the chosen disk of a machine that joins will be erased.
    """
    policy = {"disk": disk, "wipe_level": wipe_level, "diagnose": tests}
    plan = fitting(BatchPlan, name=name, school=school, release=release, size=size,
                   open_minutes=open_minutes, policy=policy)  # fmt: skip
    with office.transaction() as session:
        desk.create_batch(office.station, session, plan, office.actor)
        _show(reading.batch(session, name), as_json)


@group.command("list")
@json_option
@pass_office
def list_(office: Office, as_json: bool) -> None:
    """List all batches, the newest first."""
    with office.reading() as session:
        show_list(reading.batches(session), COLUMNS, as_json, "No batch yet.")


@group.command()
@click.argument("name")
@json_option
@pass_office
def show(office: Office, name: str, as_json: bool) -> None:
    """Show one batch."""
    with office.reading() as session:
        _show(reading.batch(session, name), as_json)


@group.command()
@click.argument("name")
@json_option
@pass_office
def summary(office: Office, name: str, as_json: bool) -> None:
    """Print what a batch has come to, with the evidence of every stage, as JSON."""
    with office.reading() as session:
        print_json(reading.summary(session, name))


@group.command()
@click.argument("name")
@json_option
@pass_office
def close(office: Office, name: str, as_json: bool) -> None:
    """Let no further machine join; those that have joined go on."""
    with office.transaction() as session:
        desk.close_batch(office.station, session, name, office.actor)
        _show(reading.batch(session, name), as_json)


def _show(batch: BatchView, as_json: bool) -> None:
    if as_json:
        print_json(batch)
        return
    facts = [(column.title, column.read(batch)) for column in COLUMNS]
    policy = batch.policy
    show_facts(
        [
            *facts,
            ("disk rule", policy.disk),
            ("wipe", f"{policy.wipe_level}, {policy.wipe}"),
            ("tests", policy.diagnose),
        ]
    )
