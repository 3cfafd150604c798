"""Packs that are what they say, and packs that lie: the latter leave nothing behind."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from provisioner.cli.root import cli
from provisioner.education.notices import ComponentText, check_covered
from provisioner.education.packs import Pack, PackError, Store, check_pack, seal
from provisioner.education.placing import KIWIX_PORT, place_pack
from provisioner.education.zim import SERVE_ENVIRONMENT
from provisioner.errors import ConfigError, NotFoundError, ProvisionerError
from provisioner.model.wish import PackWish
from tests.unit.education.conftest import write_pack


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_sealed_pack_is_imported_and_found(store: Store, tmp_path: Path) -> None:
    made = seal(write_pack(tmp_path / "poems"))
    taken = store.take(made.folder, made.sha256)
    assert [pack.id for pack in store.list()] == ["poems@1"]
    assert check_pack(taken.folder).sha256 == made.sha256
    wish = PackWish(name="poems", sha256=made.sha256, licence="CC-BY-4.0")
    assert store.find(wish).folder == store.root / "poems@1"
    assert store.take(made.folder).sha256 == made.sha256, "importing it again changes nothing"


def lie(folder: Path, how: str) -> None:
    page = folder / "content/b.html"
    if how == "size":
        page.write_text(page.read_text() + "more")
    elif how == "content":
        page.write_text(page.read_text().replace("静", "动"))
    elif how == "missing":
        page.unlink()
    elif how == "extra":
        (folder / "content/more.html").write_text("x")
    elif how == "link":
        page.unlink()
        page.symlink_to("/etc/passwd")
    elif how == "link inside the list":
        (folder / "pack.files").unlink()
        (folder / "pack.files").symlink_to("/etc/passwd")
    elif how == "folder link":
        (folder / "content/etc").symlink_to("/etc")
    elif how == "pipe":
        os.mkfifo(folder / "content/pipe")
    elif how == "path out":
        line = (folder / "pack.files").read_text()
        (folder / "pack.files").write_text(line.replace("content/b.html", "content/../../b"))
    elif how == "twice":
        text = (folder / "pack.files").read_text()
        (folder / "pack.files").write_text(text + text.splitlines()[0] + "\n")
    elif how == "no list":
        (folder / "pack.files").unlink()
    elif how == "no text":
        (folder / "pack.yml").unlink()
    elif how == "text changed":
        text = (folder / "pack.yml").read_text()
        (folder / "pack.yml").write_text(text.replace("CC-BY-4.0", "MIT"))


@pytest.mark.parametrize(
    "how",
    ["size", "content", "missing", "extra", "link", "link inside the list", "folder link",
     "pipe", "path out", "twice", "no list", "no text", "text changed"],
)  # fmt: skip
def test_a_pack_that_lies_is_refused_and_leaves_nothing(
    store: Store, tmp_path: Path, how: str
) -> None:
    folder = seal(write_pack(tmp_path / "poems")).folder
    lie(folder, how)
    with pytest.raises(PackError) as caught:
        store.take(folder)
    assert caught.value.message.endswith(".")
    if says := {"size": " bytes; ", "link": "is a link to /etc", "folder link": "is a link"}.get(
        how
    ):
        assert says in caught.value.message
    assert not store.root.exists() or not list(store.root.glob("*@*"))


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"licence": None}, "licence"), ({"licence": "unknown"}, "licence"),
     ({"licence": "ask me"}, "licence"), ({"credit": None}, "credit"),
     ({"name": "../up"}, "name"), ({"languages": []}, "languages"),
     ({"kind": "video"}, "kind"), ({"colour": "red"}, "colour")],
)  # fmt: skip
def test_a_text_that_says_too_little_names_its_field(
    store: Store, tmp_path: Path, changes: dict[str, object], field: str
) -> None:
    folder = write_pack(tmp_path / "poems", **changes)  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as caught:
        seal(folder)
    assert caught.value.field == field
    with pytest.raises(ProvisionerError):
        store.take(folder)
    assert not store.root.exists()


def test_a_wrong_checksum_is_said(store: Store, tmp_path: Path) -> None:
    made = seal(write_pack(tmp_path / "poems"))
    with pytest.raises(PackError, match=made.sha256):
        store.take(made.folder, "0" * 64)
    assert not store.root.exists()
    store.take(made.folder)
    with pytest.raises(ConfigError, match="checksum"):
        store.find(PackWish(name="poems", sha256="0" * 64, licence="CC-BY-4.0"))
    with pytest.raises(ConfigError, match="is under CC-BY-4"):
        store.find(PackWish(name="poems", sha256=made.sha256, licence="MIT"))
    with pytest.raises(NotFoundError, match="poem") as caught:
        store.find(PackWish(name="poem", sha256=made.sha256, licence="MIT"))
    assert "poems" in caught.value.hint


def test_another_content_under_the_same_version_is_refused(store: Store, tmp_path: Path) -> None:
    store.take(seal(write_pack(tmp_path / "one")).folder)
    other = write_pack(tmp_path / "two")
    (other / "content/b.html").write_text("something else")
    with pytest.raises(PackError, match="Another pack poems@1"):
        store.take(seal(other).folder)


def test_a_copy_that_breaks_off_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = seal(write_pack(tmp_path / "poems"))
    copy, count = shutil.copyfile, 0

    def full(source: Path, target: Path, **rest: bool) -> Path:
        nonlocal count
        count += 1
        if count == 3:
            raise OSError(28, "No space left on device")
        return Path(copy(source, target, **rest))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(ProvisionerError, match="No space left"):
        store.take(made.folder)
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_our_own_packs_hold_for_all_three_kinds(
    our_packs: dict[str, Pack], store: Store, tmp_path: Path
) -> None:
    for kind, pack in our_packs.items():
        assert pack.text.licence == "CC-BY-SA-4.0"
        assert store.take(pack.folder).text.kind.value == kind
    part = place_pack(store.newest("first-lessons-web"), tmp_path / "parts")
    assert (part / "usr/share/classroom/packs/first-lessons-web/content/index.html").is_file()
    said = (part / "usr/lib/pack-first-lessons-web/notices/components.json").read_text()
    notices = [ComponentText(**row) for row in json.loads(said)]
    assert {row.name: row.licence for row in notices} == {
        "first-lessons-web": "CC-BY-SA-4.0", "pack-first-lessons-web": "Apache-2.0"}  # fmt: skip
    check_covered(part, notices, part)


@pytest.mark.parametrize(
    ("kind", "command"),
    [("web", "file:///usr/share/classroom/packs/first-lessons-web/content/index.html"),
     ("zim", "http://127.0.0.1:8604/"), ("kolibri", "")],
)  # fmt: skip
def test_a_part_shows_its_pack_in_the_menu(
    our_packs: dict[str, Pack], tmp_path: Path, kind: str, command: str
) -> None:
    part = place_pack(our_packs[kind], tmp_path)
    entries = list(part.rglob("*.desktop"))
    assert len(entries) == bool(command)
    for entry in entries:
        text = entry.read_text()
        assert command in text
        assert "Name[zh_CN]=积木编程第一课到第三课" in text
    units = [path.read_text() for path in part.rglob("*.service")]
    assert len(units) == (kind == "zim")
    for unit in units:
        assert all(f"{name}={value}" in unit for name, value in SERVE_ENVIRONMENT.items())
        assert f"--port={KIWIX_PORT}" in unit
    assert not (part / "etc").exists(), "a school decides whether it runs"


def test_the_commands_say_what_they_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVISIONER_CACHE_DIR", str(tmp_path / "cache"))
    state = ["--state-dir", str(tmp_path / "state")]
    folder = write_pack(tmp_path / "poems")

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, [*state, "pack", *words])
        return done.exit_code, done.output

    assert run("check", str(folder))[0] == 1
    assert "poems@1" in run("build", str(folder))[1]
    assert run("import", str(folder), "--sha256", "1" * 64)[0] == 1
    code, text = run("import", str(folder))
    assert (code, "CC-BY-4.0" in text) == (0, True)
    assert "poems@1" in run("list")[1]
    assert run("place", "poems") == (0, f"{tmp_path}/cache/parts/pack-poems\n")
    assert "poems" in run("place", "poem")[1]
