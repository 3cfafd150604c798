"""The table of contents: all commands, in the order of the job."""

from __future__ import annotations

from pathlib import Path

import click

from provisioner.cli import (
    ask,
    batch,
    bundle,
    certificate,
    contest,
    events,
    image,
    label,
    machine,
    pack,
    path,
    people,
    renew,
    rollout,
    school,
    setup,
    station,
)
from provisioner.cli.office import Office
from provisioner.cli.shape import Contents


@click.group(cls=Contents, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    help="Where the station keeps database, keys and releases.",
)
@click.version_option(package_name="classroom-provisioner", prog_name="provisioner")
@click.pass_context
def cli(context: click.Context, state_dir: Path | None) -> None:
    """Turn retired office computers into school classrooms.

    The path of a machine: discover, enrol, diagnose, wipe, image, configure, verify, hand over.
    It runs by itself from the moment a machine is switched on; these commands prepare it, watch
    it, and answer what only a person can decide.
    """
    context.obj = Office({} if state_dir is None else {"state_dir": state_dir})


cli.chapter("Set up the station", setup.doctor, setup.settings, setup.completion)
cli.chapter("Make what machines get", image.group, school.group, pack.app, pack.group)
cli.chapter("Run the workshop", station.serve, station.dashboard, batch.group,
            people.account, people.token)  # fmt: skip
cli.chapter("Look after machines", machine.group, path.verify, path.hand_over,
            label.label, certificate.group, events.events)  # fmt: skip
cli.chapter("Look after schools", renew.renew, ask.ask, bundle.group, rollout.group,
            contest.group)  # fmt: skip
cli.chapter("Try it without hardware", station.lab)
