"""A channel as Kolibri imports it from a folder: a database of content schema 5, and storage.

    databases/CHANNEL.sqlite3        topics, lessons, which files they use
    storage/A/B/MD5.zip              each lesson as an HTML5 application

Table and column names are Kolibri's (kolibri.core.content.contentschema, version 5). Same
lessons give the same bytes: identities follow from names, archives carry no time.
"""

from __future__ import annotations

import hashlib
import io
import sqlite3
import uuid
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from provisioner.errors import ProofMissingError

SCHEMA = "5"
# le-utils' labels of learning activities: “read” and “explore”.
ACTIVITIES = "wA01urpi,#j8L0eq3"
# A fixed moment in the form that Kolibri parses; with a “T” in it every later command fails.
UPDATED = "2026-01-01 00:00:00"
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
LANGUAGES = {"zh-CN": ("zh", "CN", "简体中文"), "en": ("en", None, "English")}
TABLES = """
CREATE TABLE content_contenttag (id CHAR(32) PRIMARY KEY, tag_name VARCHAR(30) NOT NULL);
CREATE TABLE content_language (id VARCHAR(14) PRIMARY KEY, lang_code VARCHAR(3) NOT NULL,
  lang_subcode VARCHAR(10), lang_name VARCHAR(100), lang_direction VARCHAR(3) NOT NULL);
CREATE TABLE content_localfile (id VARCHAR(32) PRIMARY KEY, extension VARCHAR(40) NOT NULL,
  available BOOLEAN NOT NULL, file_size INTEGER);
CREATE TABLE content_contentnode (id CHAR(32) PRIMARY KEY, license_name VARCHAR(50),
  license_description TEXT, title VARCHAR(200) NOT NULL, coach_content BOOLEAN NOT NULL,
  content_id CHAR(32) NOT NULL, channel_id CHAR(32) NOT NULL, description TEXT,
  sort_order FLOAT, license_owner VARCHAR(200) NOT NULL, author VARCHAR(200) NOT NULL,
  kind VARCHAR(200) NOT NULL, available BOOLEAN NOT NULL, options TEXT, grade_levels TEXT,
  resource_types TEXT, learning_activities TEXT, accessibility_labels TEXT, categories TEXT,
  learner_needs TEXT, duration INTEGER, lft INTEGER NOT NULL, rght INTEGER NOT NULL,
  tree_id INTEGER NOT NULL, level INTEGER NOT NULL,
  lang_id VARCHAR(14) REFERENCES content_language (id),
  parent_id CHAR(32) REFERENCES content_contentnode (id));
CREATE TABLE content_assessmentmetadata (id CHAR(32) PRIMARY KEY,
  assessment_item_ids TEXT NOT NULL, number_of_assessments INTEGER NOT NULL,
  mastery_model TEXT NOT NULL, randomize BOOLEAN NOT NULL, is_manipulable BOOLEAN NOT NULL,
  contentnode_id CHAR(32) NOT NULL REFERENCES content_contentnode (id));
CREATE TABLE content_channelmetadata (id CHAR(32) PRIMARY KEY, name VARCHAR(200) NOT NULL,
  description VARCHAR(400) NOT NULL, tagline VARCHAR(150), author VARCHAR(400) NOT NULL,
  version INTEGER NOT NULL, thumbnail TEXT NOT NULL, last_updated VARCHAR,
  min_schema_version VARCHAR(50) NOT NULL,
  root_id CHAR(32) NOT NULL REFERENCES content_contentnode (id));
CREATE TABLE content_contentnode_has_prerequisite (id INTEGER PRIMARY KEY,
  from_contentnode_id CHAR(32) NOT NULL, to_contentnode_id CHAR(32) NOT NULL);
CREATE TABLE content_contentnode_related (id INTEGER PRIMARY KEY,
  from_contentnode_id CHAR(32) NOT NULL, to_contentnode_id CHAR(32) NOT NULL);
CREATE TABLE content_contentnode_tags (id INTEGER PRIMARY KEY,
  contentnode_id CHAR(32) NOT NULL, contenttag_id CHAR(32) NOT NULL);
CREATE TABLE content_file (id CHAR(32) PRIMARY KEY, preset VARCHAR(150) NOT NULL,
  supplementary BOOLEAN NOT NULL, thumbnail BOOLEAN NOT NULL, priority INTEGER,
  contentnode_id CHAR(32) NOT NULL REFERENCES content_contentnode (id),
  lang_id VARCHAR(14) REFERENCES content_language (id),
  local_file_id VARCHAR(32) NOT NULL REFERENCES content_localfile (id));
"""


@dataclass(frozen=True)
class Node:
    """A topic with children, or a lesson: an HTML5 application of `files`, begun at index.html."""

    name: str
    title: str
    description: str = ""
    language: str = "zh-CN"
    files: Mapping[str, bytes] = field(default_factory=dict)
    children: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Channel:
    """A channel; `licence` and `owner` stand at each lesson of it."""

    name: str
    title: str
    description: str
    version: int
    licence: str
    owner: str
    topics: Sequence[Node]

    @property
    def id(self) -> str:
        return _identity("channel", self.name)


@dataclass(frozen=True)
class _Placed:
    """A node with its place in the tree (nested sets, as Kolibri's queries want them)."""

    node: Node
    id: str
    parent: str | None
    left: int
    right: int
    level: int
    order: int


def write_channel(channel: Channel, content: Path) -> Path:
    """Write databases/ and storage/ below `content`; returns the database and has read it back."""
    database = content / "databases" / f"{channel.id}.sqlite3"
    database.parent.mkdir(parents=True)
    root = Node("", channel.title, channel.description, children=tuple(channel.topics))
    with sqlite3.connect(database) as opened:
        opened.executescript(TABLES)
        _write_languages(opened)
        placed = list(_place(channel.id, root))
        for one in sorted(placed, key=lambda one: one.left):
            _write_node(opened, channel, one, content / "storage")
        opened.execute(
            "INSERT INTO content_channelmetadata VALUES (?,?,?,?,?,?,?,?,?,?)",
            (channel.id, channel.title, channel.description[:400], "", channel.owner,
             channel.version, "", UPDATED, SCHEMA, placed[-1].id),
        )  # fmt: skip
    with sqlite3.connect(database) as opened:
        opened.execute("VACUUM")
        count = opened.execute("SELECT count(*) FROM content_contentnode").fetchone()[0]
    if count != len(placed):
        raise ProofMissingError(f"The channel holds {count} nodes, not {len(placed)}.")
    return database


def make_zip(files: Mapping[str, bytes]) -> bytes:
    """An archive whose bytes follow from its content alone."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(files.items()):
            info = zipfile.ZipInfo(name, ZIP_TIME)
            info.external_attr = 0o644 << 16
            info.create_system = 3
            archive.writestr(info, content)
    return out.getvalue()


def _place(
    channel: str, node: Node, parent: _Placed | None = None, path: str = "", left: int = 1,
    order: int = 1,
) -> Iterator[_Placed]:  # fmt: skip
    """The node and all below it, children first."""
    here = f"{path}/{node.name}"
    identity = _identity(channel, here)
    level = parent.level + 1 if parent else 0
    above = _Placed(node, identity, parent.id if parent else None, left, 0, level, order)
    at = left + 1
    for number, child in enumerate(node.children, start=1):
        for placed in _place(channel, child, above, here, at, number):
            yield placed
        at = placed.right + 1
    yield _Placed(node, identity, above.parent, left, at, level, order)


def _write_languages(opened: sqlite3.Connection) -> None:
    for tag, (code, subcode, name) in LANGUAGES.items():
        row = (tag, code, subcode, name, "ltr")
        opened.execute("INSERT INTO content_language VALUES (?,?,?,?,?)", row)


def _write_node(
    opened: sqlite3.Connection, channel: Channel, one: _Placed, storage: Path
) -> None:  # fmt: skip
    node, lesson = one.node, bool(one.node.files)
    row = {
        "id": one.id, "license_name": "CC BY-SA" if lesson else None,
        "license_description": channel.licence if lesson else None, "title": node.title,
        "coach_content": 0, "content_id": _identity(one.id, "content"),
        "channel_id": channel.id, "description": node.description, "sort_order": one.order,
        "license_owner": channel.owner if lesson else "", "author": channel.owner,
        "kind": "html5" if lesson else "topic", "available": 0, "options": "{}",
        "learning_activities": ACTIVITIES if lesson else None, "lft": one.left,
        "rght": one.right, "tree_id": 1, "level": one.level, "lang_id": node.language,
        "parent_id": one.parent,
    }  # fmt: skip
    names = ", ".join(row)
    marks = ", ".join("?" for _ in row)
    opened.execute(
        f"INSERT INTO content_contentnode ({names}) VALUES ({marks})",  # noqa: S608 - our own names
        tuple(row.values()),
    )
    if lesson:
        _write_file(opened, one, make_zip(node.files), storage)


def _write_file(
    opened: sqlite3.Connection, one: _Placed, content: bytes, storage: Path
) -> None:  # fmt: skip
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    path = storage / digest[0] / digest[1] / f"{digest}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    opened.execute("INSERT OR IGNORE INTO content_localfile VALUES (?,?,?,?)",
                   (digest, "zip", 0, len(content)))  # fmt: skip
    opened.execute(
        "INSERT INTO content_file VALUES (?,?,?,?,?,?,?,?)",
        (_identity(one.id, "file"), "html5_zip", 0, 0, 1, one.id, one.node.language, digest),
    )


def _identity(*parts: str) -> str:
    """32 hexadecimal digits that follow from names."""
    return uuid.uuid5(uuid.NAMESPACE_URL, "classroom-provisioner:" + "/".join(parts)).hex
