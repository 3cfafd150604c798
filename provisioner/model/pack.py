"""A content pack: courseware as data, with its checksum and its licence.

`pack.yml` is what a person writes; `pack.files` lists every file with size and SHA-256, and the
SHA-256 of that list is the pack's checksum: it vouches for everything. A school's folder names a
pack by name, checksum and licence.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from provisioner.model.base import Model, Name, Sha256, ShortText
from provisioner.model.school import Bilingual
from provisioner.model.wish import Licence

Version = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+~-]{0,30}$")]
LanguageTag = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]


class PackKind(StrEnum):
    """What is in a pack, hence what opens it."""

    KOLIBRI = "kolibri"  # a channel: content/databases, content/storage
    ZIM = "zim"  # one .zim file, served by kiwix-serve
    PDF = "pdf"  # a folder of PDF files
    WEB = "web"  # a folder with index.html


class PackText(Model):
    """The content of `pack.yml`. Nothing but `summary` may be missing."""

    name: Name
    version: Version
    kind: PackKind
    title: Bilingual
    summary: Bilingual = Bilingual(en="", zh="")
    licence: Licence
    credit: ShortText = Field(min_length=1, description="whom to name as the author")
    source: ShortText = Field(min_length=1, description="where it comes from")
    languages: tuple[LanguageTag, ...] = Field(min_length=1)


class PackFile(Model):
    """One file of a pack, below its folder."""

    path: Annotated[str, StringConstraints(max_length=400)]
    size: int = Field(ge=0)
    sha256: Sha256


class Lesson(Model):
    """One lesson; its text lies in LANGUAGE/ID.html beside the list."""

    id: Name
    title: Bilingual
    summary: Bilingual


class LessonsText(Model):
    """The content of `lessons.yml`: lessons of our own, from which packs are built."""

    name: Name
    version: Version
    title: Bilingual
    summary: Bilingual
    licence: Licence
    credit: ShortText = Field(min_length=1)
    source: ShortText = Field(min_length=1)
    lessons: tuple[Lesson, ...] = Field(min_length=1)
