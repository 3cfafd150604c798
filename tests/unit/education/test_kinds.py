"""The content of a pack must be what its kind says."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from provisioner.education.kinds import ContentError
from provisioner.education.packs import Pack, seal
from tests.unit.education.conftest import write_pack

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


@pytest.mark.parametrize(
    "page",
    ["<img src='http://example.org/a.png'>", "<script src=//example.org/a.js></script>",
     "<link rel=stylesheet href=https://example.org/a.css>", "<a href='../../out.html'>x</a>",
     "<a href='../index.html'>up</a>", "<img src='/absolute.png'>", "<a href='gone.html'>x</a>",
     "<style>b{background:"
     "url(http://example.org/x)}</style>", "<a href='file:///etc/passwd'>x</a>",
     "<img src='%2e%2e/%2e%2e/x.png'>"],
)  # fmt: skip
def test_a_page_that_needs_something_from_outside_is_refused(tmp_path: Path, page: str) -> None:
    folder = write_pack(tmp_path / "p")
    (folder / "content/b.html").write_text(page)
    with pytest.raises(ContentError, match=r"b\.html"):
        seal(folder)


def test_a_link_that_a_person_may_follow_is_no_harm(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "p")
    (folder / "content/b.html").write_text(
        "<a href='https://example.org/'>x</a><a href='#top'>y</a><a href='mailto:a@b'>z</a>"
        "<img src='data:image/png;base64,AA=='><a href='./index.html?a=1#b'>i</a>"
    )
    seal(folder)


def test_a_web_folder_begins_with_its_index(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "p")
    (folder / "content/index.html").unlink()
    with pytest.raises(ContentError, match=r"index\.html"):
        seal(folder)


def test_whole_pdfs_and_nothing_else(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "p", kind="pdf")
    with pytest.raises(ContentError, match="empty"):
        seal(folder)
    (folder / "content/语文.pdf").write_bytes(PDF)
    assert seal(folder).text.kind == "pdf"
    (folder / "content/half.pdf").write_bytes(PDF[:-10])
    with pytest.raises(ContentError, match="whole"):
        seal(folder)
    (folder / "content/half.pdf").rename(folder / "content/virus.exe")
    with pytest.raises(ContentError, match="no PDF"):
        seal(folder)


@pytest.fixture
def channel(our_packs: dict[str, Pack], tmp_path: Path) -> Path:
    return Path(shutil.copytree(our_packs["kolibri"].folder, tmp_path / "channel"))


def change(database: Path, statement: str) -> None:
    with sqlite3.connect(database) as opened:
        opened.execute(statement)


def test_a_channel_that_lies_about_its_files_is_refused(channel: Path) -> None:
    database = next((channel / "content/databases").iterdir())
    good = database.read_bytes()
    for statement, message in (
        ("UPDATE content_localfile SET file_size = file_size + 1", "bytes"),
        ("UPDATE content_localfile SET id = '../../../etc/passwd' WHERE rowid = 1", "unknown way"),
        ("UPDATE content_channelmetadata SET id = 'x'", "another channel"),
        ("DROP TABLE content_localfile", "no channel of Kolibri"),
    ):
        change(database, statement)
        with pytest.raises(ContentError, match=message):
            seal(channel)
        database.write_bytes(good)
    stored = next((channel / "content/storage").rglob("*.zip"))
    content = stored.read_bytes()
    stored.write_bytes(content[:-1] + b"x")
    with pytest.raises(ContentError, match="another MD5"):
        seal(channel)
    stored.unlink()
    with pytest.raises(ContentError, match="not in the pack"):
        seal(channel)
    stored.write_bytes(content)
    (stored.parent / "stranger").write_text("x")
    with pytest.raises(ContentError, match="No channel uses"):
        seal(channel)


def test_a_zim_that_is_cut_or_changed_is_refused(
    our_packs: dict[str, Pack], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(our_packs["zim"].folder, tmp_path / "zim"))
    path = next((folder / "content").iterdir())
    good = path.read_bytes()
    for wrong, message in (
        (good[:-1], "says that it has"),
        (good[:500] + bytes([good[500] ^ 1]) + good[501:], "damaged"),
        (b"no ZIM" * 100, "no ZIM"),
    ):
        path.write_bytes(wrong)
        with pytest.raises(ContentError, match=message):
            seal(folder)
    path.write_bytes(good)
    (folder / "content/second.zim").write_bytes(good)
    with pytest.raises(ContentError, match="one file"):
        seal(folder)
