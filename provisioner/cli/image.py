"""Images: recipes are built into signed releases."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import click

from provisioner.api.rows import release_view
from provisioner.api.views import ReleaseView
from provisioner.cli.office import Office, pass_office
from provisioner.cli.output import (
    Column,
    json_option,
    print_json,
    report_steps,
    show_facts,
    show_list,
    size,
)
from provisioner.cli.shape import Contents
from provisioner.workshop.path import read_manifest

COLUMNS: tuple[Column[ReleaseView], ...] = (
    Column("release", lambda r: r.id),
    Column("kind", lambda r: r.kind),
    Column("number", lambda r: r.number),
    Column("size", lambda r: size(r.size)),
    Column("packages", lambda r: r.packages),
    Column("needs", lambda r: f"{r.minimum.memory_mib} MiB memory, {r.minimum.disk_mb} MB disk"),
)


@click.group("image", cls=Contents)
def group() -> None:
    """Build recipes into signed releases."""


@group.command("list")
@json_option
@pass_office
def list_(office: Office, as_json: bool) -> None:
    """List the releases on this station."""
    found = [release_view(manifest) for manifest in office.station.catalog.list()]
    show_list(found, COLUMNS, as_json, "No release yet: provisioner image build RECIPE")


@group.command()
@click.argument("release")
@json_option
@pass_office
def show(office: Office, release: str, as_json: bool) -> None:
    """Show a release's signed manifest: files, packages, licences."""
    manifest, _ = read_manifest(office.station, office.station.catalog.get(release).id)
    if as_json:
        print_json(manifest)
        return
    view = release_view(manifest)
    show_facts([(column.title, column.read(view)) for column in COLUMNS])
    show_facts([(file.path, f"{size(file.size)}  {file.sha256}") for file in manifest.files])


@group.command()
@click.argument("recipe")
@click.option("--if-changed", is_flag=True, help="Only when the recipe or this program changed.")
@click.option("--locked", metavar="RELEASE|FILE", help="Just the packages of this release's lock.")
@click.option("--offline", is_flag=True, help="Ask no archive: everything from the cache.")
@click.option("--summary", type=click.Path(path_type=Path, dir_okay=False),
              help="Write what was built into this JSON file.")  # fmt: skip
@json_option
@pass_office
def build(
    office: Office,
    recipe: str,
    if_changed: bool,
    locked: str | None,
    offline: bool,
    summary: Path | None,
    as_json: bool,
) -> None:
    """Build a recipe into a new, signed release.

    Parts that we know how to make (block programming, packs) are made first. A build that was cut
    short goes on from the last step that it finished.
    """
    from provisioner.cli.pack import workbench
    from provisioner.education.making import make_parts
    from provisioner.release.build import build_release, ensure_release
    from provisioner.release.lock import find_lock
    from provisioner.release.materials import Wishes
    from provisioner.release.progress import part_of
    from provisioner.release.recipe import load_recipe
    from provisioner.release.summary import summarise, write_summary

    settings, station = office.settings, office.station
    make = ensure_release if if_changed else build_release
    lock = find_lock(locked, station.catalog) if locked else None
    wishes = Wishes(settings.mirror, lock=lock, offline=offline, parts=settings.parts_folder)
    folder, report = settings.images_dir / recipe, report_steps()
    began = time.monotonic()
    make_parts(load_recipe(folder), workbench(settings), part_of(report, 0.0, 0.1))
    manifest = make(
        folder, catalog=station.catalog, key=station.key,
        cache=settings.cache_dir, wishes=wishes, report=part_of(report, 0.1, 1.0),
    )  # fmt: skip
    if summary:
        write_summary(summary, summarise(manifest, time.monotonic() - began))
    if as_json:
        print_json(release_view(manifest))
    else:
        click.echo(f"{manifest.id}: {size(release_view(manifest).size)}, signed.")


@group.command()
@click.argument("old")
@click.argument("new")
@json_option
@pass_office
def diff(office: Office, old: str, new: str, as_json: bool) -> None:
    """List what changed from one release to another: packages, licences, files, sizes."""
    from provisioner.release.difference import Change, compare

    station = office.station
    ids = (station.catalog.get(name).id for name in (old, new))
    one, other = (read_manifest(station, release)[0] for release in ids)
    found = compare(one, other)
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    columns: tuple[Column[Change], ...] = (
        Column("component", lambda change: change.name),
        Column("change", lambda change: change.kind),
        Column(found.old, lambda change: change.old or ""),
        Column(found.new, lambda change: change.new or ""),
    )
    show_list(found.changes, columns, False, "The same components.")
    licences = [c for c in found.changes if c.old and c.new and c.old_licence != c.new_licence]
    show_facts([
        *((f"licence of {c.name}", f"{c.old_licence} → {c.new_licence}") for c in licences),
        ("files", ", ".join(found.files) or "the same"),
        ("recipe and program", "the same" if found.same_recipe else "changed"),
        ("size", f"{size(found.old_bytes)} → {size(found.new_bytes)}"),
        ("installed", f"{size(found.old_installed)} → {size(found.new_installed)}"),
    ])  # fmt: skip


@group.command()
@click.argument("release")
@click.argument("packages", nargs=-1)
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), required=True,
              help="The folder for the source packages.")  # fmt: skip
@pass_office
def sources(office: Office, release: str, packages: tuple[str, ...], into: Path) -> None:
    """Fetch the corresponding source of a release's Debian packages, or of some of them.

    Do it on the day of the build: Debian's archive keeps the versions of the current point
    release. Parts from npm and PyPI carry their source or name it in their notices.
    """
    from provisioner.release.corresponding import fetch_sources, open_archive, sources_of
    from provisioner.release.sbom import SBOM

    catalog, settings = office.station.catalog, office.settings
    wanted = sources_of(catalog.folder(release) / SBOM, packages)
    archive = open_archive(settings.cache_dir, settings.mirror, catalog.get(release).suite)
    gone = fetch_sources(archive, wanted, into, report_steps())
    click.echo(f"{len(wanted) - len(gone)} of {len(wanted)} sources are in {into}.")
    for source in gone:
        click.echo(f"The archive no longer has {source}.", err=True)
    if gone:
        raise SystemExit(1)


@group.command()
@click.argument("release")
@pass_office
def verify(office: Office, release: str) -> None:
    """Check a release's signature and read every file of it anew."""
    from provisioner.release.chunking import verify_chunk_map

    catalog, key = office.station.catalog, office.station.key
    manifest = catalog.verify(catalog.get(release).id, trusted=key.public)
    click.echo(f"{manifest.id}: signature and {len(manifest.files)} files are in order.")
    if pieces := verify_chunk_map(catalog.folder(manifest.id)):
        click.echo(f"{manifest.id}: the system image is what its {pieces} noted pieces say.")


@group.command()
@click.argument("old")
@click.argument("new")
@click.option("--publish", is_flag=True, help="Make a patch for this hop and put it on offer.")
@json_option
@pass_office
def delta(office: Office, old: str, new: str, publish: bool, as_json: bool) -> None:
    """Show what it costs a machine to go from one release to another.

    Machines that have OLD fetch the pieces of NEW that changed, or the patch when one is on
    offer and is smaller. A patch takes minutes to make: worth it for a hop of many machines.
    """
    from provisioner.release.delta import cost, publish_patch

    catalog, key = office.station.catalog, office.station.key
    if publish:
        publish_patch(catalog, key, old, new, report_steps())
    found = cost(catalog, old, new, key.public)
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    ways = [("whole", found.whole_bytes), ("pieces", found.missing_bytes + found.map_bytes)]
    if found.patch_bytes is not None:
        ways.append(("patch", found.patch_bytes + found.map_bytes))
    columns: tuple[Column[tuple[str, int]], ...] = (
        Column("way", lambda way: way[0]),
        Column("fetched", lambda way: size(way[1])),
        Column("share", lambda way: f"{way[1] / max(found.whole_bytes, 1):.1%}"),
    )
    click.echo(f"{found.old} → {found.new}")
    show_list(ways, columns, False, "")
