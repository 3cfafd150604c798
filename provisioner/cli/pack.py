"""Content packs and applications: what images hold beside Debian's packages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from provisioner.cli.office import Office, pass_office
from provisioner.cli.output import Column, json_option, print_json, report_steps, show_list, size
from provisioner.cli.shape import Contents
from provisioner.model.base import Model
from provisioner.model.pack import PackKind
from provisioner.settings import Settings

if TYPE_CHECKING:
    from provisioner.education.making import Workbench

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


class PackView(Model):
    """A pack as commands print it."""

    id: str
    kind: PackKind
    title: str
    licence: str
    bytes: int
    sha256: str


COLUMNS: tuple[Column[PackView], ...] = (
    Column("pack", lambda p: p.id),
    Column("kind", lambda p: p.kind),
    Column("title", lambda p: p.title),
    Column("licence", lambda p: p.licence),
    Column("size", lambda p: size(p.bytes)),
    Column("sha256", lambda p: p.sha256),
)


@click.group("pack", cls=Contents)
def group() -> None:
    """Courseware as data: Kolibri channels, ZIM files, PDF and web folders."""


@group.command()
@click.argument("folder", type=FOLDER)
@json_option
def check(folder: Path, as_json: bool) -> None:
    """Read a pack to its last byte and say whether it is in order."""
    from provisioner.education.packs import check_pack

    _show([view(check_pack(folder))], as_json)


@group.command()
@click.argument("folder", type=FOLDER)
@click.option("--into", type=click.Path(path_type=Path), help="Where packs made of lessons go.")
@json_option
def build(folder: Path, into: Path | None, as_json: bool) -> None:
    """Make a pack: seal FOLDER, or build the three kinds from a folder of lessons.

    A folder with pack.yml and content/ gets its list of files and is then checked as any other.
    A folder with lessons.yml becomes a web, a Kolibri and a ZIM pack.
    """
    from provisioner.education import lessons
    from provisioner.education.packs import seal

    if (folder / lessons.TEXTS).is_file():
        made = lessons.build_packs(folder, into or Path.cwd())
    else:
        made = [seal(folder)]
    _show([view(pack) for pack in made], as_json)


@group.command("import")
@click.argument("folder", type=FOLDER)
@click.option("--sha256", default="", help="The checksum that its maker told you.")
@json_option
@pass_office
def import_(office: Office, folder: Path, sha256: str, as_json: bool) -> None:
    """Take a pack from a folder or a stick into this station, whole or not at all."""
    from provisioner.education.packs import Store

    _show([view(Store(office.settings.packs_dir).take(folder, sha256))], as_json)


@group.command("list")
@click.option("--school", help="Those that a school wishes; fails when one is not here.")
@json_option
@pass_office
def list_(office: Office, school: str | None, as_json: bool) -> None:
    """List the packs on this station."""
    from provisioner.education.packs import Store
    from provisioner.fleet.school import find_school, load_school

    store = Store(office.settings.packs_dir)
    if school is None:
        packs = store.list()
    else:
        folder = find_school(office.settings.inventories_dir, school)
        packs = [store.find(wish) for wish in load_school(folder).settings.packs]
    _show([view(pack) for pack in packs], as_json)


@group.command()
@click.argument("names", nargs=-1, required=True)
@pass_office
def place(office: Office, names: tuple[str, ...]) -> None:
    """Lay packs out as parts of images; a recipe then names them as pack-NAME."""
    from provisioner.education.packs import Store
    from provisioner.education.placing import place_pack

    store = Store(office.settings.packs_dir)
    for name in names:
        click.echo(place_pack(store.newest(name), office.settings.parts_folder))


@click.group("app", cls=Contents)
def app() -> None:
    """Applications that are no Debian packages, made ready for images."""


@app.command("build")
@click.argument("name", type=click.Choice(["classroom-blocks"]))
@click.option("--assets", multiple=True, type=FOLDER,
              help="A pack of pictures and sounds that you may use.")  # fmt: skip
@pass_office
def app_build(office: Office, name: str, assets: tuple[Path, ...]) -> None:
    """Make an application as a part of images; a recipe names it."""
    from provisioner.education.making import make_blocks

    click.echo(make_blocks(workbench(office.settings), report_steps(), assets))


def workbench(settings: Settings) -> Workbench:
    """Where this station makes parts of images."""
    from provisioner.education.making import Workbench

    return Workbench(parts=settings.parts_folder, cache=settings.cache_dir,
                     packs=settings.packs_dir, images=settings.images_dir,
                     mirror=settings.mirror)  # fmt: skip


def view(pack: object) -> PackView:
    """What is shown of a pack."""
    from provisioner.education.packs import Pack

    assert isinstance(pack, Pack)
    text = pack.text
    return PackView(
        id=pack.id, kind=text.kind, title=f"{text.title.zh} · {text.title.en}",
        licence=text.licence, bytes=pack.size, sha256=pack.sha256,
    )  # fmt: skip


def _show(rows: list[PackView], as_json: bool) -> None:
    if as_json:
        print_json(rows)
    else:
        show_list(rows, COLUMNS, False, "No pack yet: provisioner pack import FOLDER")
