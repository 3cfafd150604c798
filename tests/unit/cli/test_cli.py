"""The command line: a table of contents, the API's views, errors with a next step."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from provisioner.accounts import sessions
from provisioner.api import reading
from provisioner.api.operator import make_operator_app
from provisioner.cli import cli
from provisioner.cli.output import bar, printable, size
from provisioner.doctor import Finding, Level
from provisioner.lifecycle import Milestone, Verb
from provisioner.model.hardware import Smbios
from provisioner.model.record import Problem
from provisioner.model.release import Component
from provisioner.release import chunking
from provisioner.release.manifest import list_files, write_manifest
from provisioner.workshop.station import OPERATOR_TOKEN, Station
from tests import factories
from tests.factories import BATCH, SCHOOL
from tests.unit.cli.conftest import Terminal
from tests.unit.swarm.images import image_of, small_edits, texts

ANSI = "\x1b[31mred\x1b[0m\x1b]0;title\x07"


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def test_help_reads_like_the_job() -> None:
    text = CliRunner().invoke(cli, ["--help"]).output
    chapters = re.findall(r"^(\w[\w ]+):$", text, re.MULTILINE)
    assert chapters == ["Options", "Set up the station", "Make what machines get",
                        "Run the workshop", "Look after machines", "Look after schools",
                        "Try it without hardware"]  # fmt: skip
    names = re.findall(r"^  ([a-z][\w-]*)  ", text, re.MULTILINE)
    assert names == ["doctor", "settings", "completion", "image", "school", "app", "pack", "serve",
                     "dashboard", "batch", "account", "token", "machine", "verify", "hand-over",
                     "label", "certificate", "events", "renew", "ask", "bundle", "rollout",
                     "contest", "lab"]  # fmt: skip


@pytest.mark.parametrize("path", list(commands(cli)), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*path, "--help"])
    assert result.exit_code == 0
    command = cli.commands[path[0]]
    for name in path[1:]:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert command.help, path
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help or option.show_default, option


def test_every_listing_has_json() -> None:
    for path in commands(cli):
        if path[-1] in ("list", "show", "events", "check"):
            assert "--json" in CliRunner().invoke(cli, [*path, "--help"]).output, path


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (("batch", "list"), "batches"),
        (("batch", "show", BATCH), f"batches/{BATCH}"),
        (("machine", "list"), "machines"),
        (("machine", "list", "--batch", BATCH), f"machines?batch={BATCH}"),
        (("machine", "show", "PC-0001"), "machines/PC-0001"),
        (("events", "--after", "0", "--limit", "1000"), "events?limit=1000"),
        (("image", "list"), "releases"),
        (("image", "show", "education"), "releases/education"),
        (("school", "list"), "schools"),
        (("batch", "summary", BATCH), f"summary?batch={BATCH}"),
    ],
)
def test_json_is_what_the_api_answers(
    terminal: Terminal, busy: Station, words: tuple[str, ...], path: str
) -> None:
    busy.board.__init__()  # type: ignore[misc]  # live progress is in the serving process only
    token = (busy.settings.state_dir / OPERATOR_TOKEN).read_text().strip()
    client = TestClient(make_operator_app(busy), headers={"Authorization": f"Bearer {token}"})
    assert terminal.json(*words) == client.get(f"/api/v1/{path}").json()


def test_listings_are_plain_columns_in_a_pipe(terminal: Terminal, busy: Station) -> None:
    lines = terminal.run("machine", "list").stdout.splitlines()
    assert lines[0].split("\t") == ["machine", "model", "batch", "stands at", "doing", "needs"]
    rows = {line.split("\t")[0]: line.split("\t") for line in lines[1:]}
    assert rows["PC-0002"][3:5] == ["diagnosed", "wipe"]
    assert "did not keep" in rows["PC-0004"][5]
    assert "(new)" in rows


def test_an_empty_listing_says_so_beside_the_output(terminal: Terminal) -> None:
    result = terminal.run("machine", "list")
    assert result.stdout == ""
    assert "plug one in" in result.stderr
    assert terminal.json("machine", "list") == []


def test_what_machines_say_never_reaches_the_terminal_raw(
    terminal: Terminal, station: Station
) -> None:
    factories.open_batch(station)
    with station.database.transaction() as session:
        hardware = factories.make_hardware(1, smbios=Smbios(system_product="[bold]x[/bold] ‮y"))
        row = factories.add_machine(session, 1, Milestone.DIAGNOSED, hardware)
        factories.fail(session, row, Verb.WIPE, Problem(kind="x", message=ANSI, hint="a\nb\tc"))
    for words in (("machine", "list"), ("machine", "show", "PC-0001"), ("events",),
                  ("machine", "show", "PC-0001", "--json"), ("events", "--json")):  # fmt: skip
        out = terminal.run(*words).stdout
        assert "\x1b" not in out
        assert "\x07" not in out
        assert "‮" not in out
    assert "[bold]x[/bold]" in terminal.run("machine", "list").stdout


@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (("machine", "show", "PC-0010"), "There is no machine", "Did you mean"),
        (("batch", "show", "class-2026-12"), "There is no batch", BATCH),
        (("image", "show", "eduction"), "There is no release", "education"),
        (("school", "show", "new-shots"), "There is no school", SCHOOL),
        (("machine", "try-again", "PC-0001"), "not waiting", ""),
        (("hand-over", "PC-0002", "--received-by", "Ms Li"), "not verified", "every check"),
    ],
)
def test_errors_are_a_message_and_a_next_step(
    terminal: Terminal, busy: Station, words: tuple[str, ...], says: str, hint: str
) -> None:
    result = terminal.run(*words, code=1)
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert says in result.stderr
    assert hint in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("words", [("nothing",), ("machine", "show"), ("batch", "open", "x")])
def test_wrong_usage_is_code_2(terminal: Terminal, words: tuple[str, ...]) -> None:
    terminal.run(*words, code=2)


def test_a_batch_from_open_to_close(terminal: Terminal, station: Station) -> None:
    opened = terminal.run("batch", "open", "b1", "--school", SCHOOL, "--release", "education",
                          "--size", "3", "--disk", "largest").stdout  # fmt: skip
    assert "education@2026.1" in opened
    assert terminal.json("batch", "show", "b1")["policy"]["disk"] == "largest"
    assert terminal.json("batch", "close", "b1")["open"] is False
    with station.database.transaction() as session:
        assert {event.actor[:4] for event in reading.events(session)} == {"cli:"}


@pytest.mark.parametrize("name", ["B1", "x y", "../x"])
def test_a_batch_with_a_wrong_name_is_refused(terminal: Terminal, name: str) -> None:
    result = terminal.run("batch", "open", name, "--school", SCHOOL, "--release", "education",
                          "--size", "3", code=2)  # fmt: skip
    assert "Error: name: " in result.stderr
    assert "Traceback" not in result.output


def test_destruction_is_named_and_asked_for(terminal: Terminal, busy: Station) -> None:
    words = ("machine", "use-disk", "PC-0005", "WCC3F7")
    refused = terminal.run(*words, typed="n\n", code=1)
    assert "Everything on WDC WD10EZEX WCC3F7, 1000.2 GB of PC-0005" in refused.output
    assert terminal.json("machine", "show", "PC-0005")["target"] is None
    terminal.run(*words, typed="y\n")
    assert terminal.json("machine", "show", "PC-0005")["target"]["serial"] == "WCC3F7"


def test_redo_asks_only_where_something_is_destroyed(terminal: Terminal, busy: Station) -> None:
    terminal.run("machine", "redo", "PC-0001", "verify")
    asked = terminal.run("machine", "redo", "PC-0001", "image", typed="n\n", code=1)
    assert "S3Z8NB0K700001" in asked.output
    terminal.run("machine", "redo", "PC-0001", "image", "--yes")
    assert terminal.json("machine", "show", "PC-0001")["tile"]["milestone"] == "wiped"


def test_the_passport_is_signed_text(terminal: Terminal, busy: Station, tmp_path: Path) -> None:
    sealed = terminal.run("machine", "passport", "PC-0001").stdout
    assert "passport+json" in sealed
    terminal.run("machine", "passport", "PC-0001", "-o", str(tmp_path / "p.json"))
    assert "passport+json" in (tmp_path / "p.json").read_text()


def test_schools_are_checked_with_file_line_and_field(
    terminal: Terminal, station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "in order" in terminal.run("school", "check", SCHOOL).stdout
    folder = tmp_path / "inventories" / "broken"
    folder.mkdir(parents=True)
    (folder / "school.yml").write_text("nmae: x\n")
    monkeypatch.setenv("PROVISIONER_INVENTORIES_DIR", str(folder.parent))
    result = terminal.run("school", "check", code=1)
    assert re.search(r"broken/school.yml:1: nmae", result.stdout)
    assert "Not in order: broken" in result.stderr


@pytest.mark.parametrize(("level", "code"), [(Level.OK, 0), (Level.WARN, 0), (Level.FAIL, 1)])
def test_the_doctor_fails_only_for_what_must_be_put_right(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, level: Level, code: int
) -> None:
    found = Finding(name="port", level=level, what="Port 67", found="taken", cure="End dnsmasq.")
    monkeypatch.setattr("provisioner.doctor.examine", lambda settings: [found])
    result = terminal.run("doctor", code=code)
    assert "End dnsmasq." in result.stdout
    assert ("1 of 1 points must be put right" in result.stderr) is (code == 1)
    shown = terminal.run("doctor", "--json", code=code).stdout
    assert json.loads(shown) == [found.model_dump(mode="json")]


def test_settings_never_show_a_password(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVISIONER_DATABASE_URL", "postgresql://me:s3cret@db/workshop")
    for words in (("settings",), ("settings", "--json")):
        out = terminal.run(*words).stdout
        assert "s3cret" not in out
        assert "postgresql://me:***@db/workshop" in out


def test_a_wrong_setting_is_named(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVISIONER_MACHINE_PORT", "99999")
    result = terminal.run("batch", "list", code=1)
    assert "machine_port" in result.stderr


def test_the_dashboard_link_logs_in(terminal: Terminal, station: Station) -> None:
    link = terminal.run("dashboard").stdout.strip()
    with station.database.transaction() as session:
        assert sessions.by_code(session, link.partition("#")[2]).login == "admin"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(terminal: Terminal, shell: str) -> None:
    assert "_PROVISIONER_COMPLETE" in terminal.run("completion", shell).stdout


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\nb", "a b"), (ANSI, "�[31mred�[0m�]0;title�"), ("座位 4", "座位 4"), (None, "None")],
)
def test_printable(text: object, shown: str) -> None:
    assert printable(text) == shown


def test_sizes() -> None:
    assert [size(n) for n in (5, 1500, 2_000_000, 3e12)] == ["5 B", "1.5 kB", "2.0 MB", "3000.0 GB"]


def test_what_an_update_costs(terminal: Terminal, station: Station) -> None:
    files = texts(6, 1)
    for number, image in ((1, image_of(files)), (2, image_of(small_edits(files, (3,), 4)))):
        with station.catalog.building() as folder:
            (folder / "system.squashfs").write_bytes(image)
            chunking.add_chunk_map(folder)
            manifest = factories.make_manifest("lab").model_copy(
                update={
                    "version": f"2026.{number}",
                    "number": number,
                    "files": list_files(folder),
                    "components": (),
                }
            )
            write_manifest(folder, manifest, station.key)
            station.catalog.publish(folder, manifest)
    words = ("image", "delta", "lab@2026.1", "lab@2026.2")
    before = terminal.json(*words)
    assert 0 < before["missing_bytes"] < before["whole_bytes"]
    assert before["patch_bytes"] is None
    after = terminal.run(*words, "--publish")
    assert "lab@2026.1 → lab@2026.2" in after.stdout
    assert "patch" in after.stdout
    assert 0 < terminal.json(*words)["patch_bytes"] < before["missing_bytes"]
    assert "noted pieces" in terminal.run("image", "verify", "lab@2026.2").stdout
    terminal.run("image", "delta", "lab@2026.1", "education", code=1)


def test_what_changed_between_two_releases(terminal: Terminal, station: Station) -> None:
    for number, version in ((1, "2.3-1"), (2, "2.3-2")):
        with station.catalog.building() as folder:
            (folder / "system.squashfs").write_bytes(b"x" * number)
            part = Component(name="acl", version=version, licence="GPL-2")
            manifest = factories.make_manifest("lab").model_copy(
                update={
                    "version": f"2026.{number}", "number": number,
                    "files": list_files(folder), "components": (part,),
                }
            )  # fmt: skip
            write_manifest(folder, manifest, station.key)
            station.catalog.publish(folder, manifest)
    found = terminal.json("image", "diff", "lab@2026.1", "lab@2026.2")
    (change,) = found["changes"]
    assert (change["name"], change["old"], change["new"]) == ("acl", "2.3-1", "2.3-2")
    shown = terminal.run("image", "diff", "lab@2026.1", "lab@2026.2").stdout
    assert "acl\tchanged\t2.3-1\t2.3-2" in shown
    assert "system.squashfs" in shown
    assert "lock" in terminal.run("image", "build", "lab", "--locked", "lab@2026.1", code=1).stderr
    terminal.run("image", "diff", "lab@2026.1", "none", code=1)


def test_a_bar() -> None:
    assert [bar(share, 4) for share in (0, 0.5, 1, 7)] == [
        "[----]   0%", "[##--]  50%", "[####] 100%", "[####] 100%",
    ]  # fmt: skip
