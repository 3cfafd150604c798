"""A new school's folder: what must be said is asked, what may be said stands there as a comment."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from pydantic import Field, TypeAdapter, ValidationError

from provisioner.errors import ConfigError, WrongStateError
from provisioner.fleet.school import HOSTS, SETTINGS, load_school
from provisioner.model.base import Model, Name, ShortText
from provisioner.model.school import School, school_schema_text
from provisioner.templating import render

SCHEMA = "school.schema.json"
_WHERE = re.compile(r"^.*?\.yml(:\d+)?: ")  # in a file that does not stay


class Draft(Model):
    """What nobody can guess about a school."""

    name_en: ShortText = Field(min_length=1)
    name_zh: ShortText = Field(min_length=1)
    province: ShortText = Field(min_length=1)
    teachers: int = Field(1, ge=0, le=20)
    pupils: int = Field(24, ge=1, le=200)


def new_school(inventories: Path, name: str, draft: Draft) -> School:
    """Write a school's folder and read it back.

    Raises WrongStateError when it is there already, and ConfigError for what no school could be
    called or where none could be; nothing is left behind then.
    """
    folder = inventories / name
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise ConfigError(
            f"“{name}” cannot be a school's short name.", "Use small letters, digits and “-”."
        ) from error
    if folder.exists():
        raise WrongStateError(f"There is a school “{name}” already.", f"Edit {folder / SETTINGS}.")
    aside = inventories / f".{name}.new"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        for file in (SETTINGS, HOSTS):
            text = render(f"school/{file}.j2", id=name, draft=draft)
            (aside / file).write_text(text, encoding="utf-8")
        # Read back under a name that a school may have, before it is one.
        trial = aside / name
        trial.mkdir()
        for file in (SETTINGS, HOSTS):
            (aside / file).rename(trial / file)
        try:
            load_school(trial)
        except ConfigError as error:
            raise ConfigError(_WHERE.sub("", error.message), error.hint) from error
        trial.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    (inventories / SCHEMA).write_text(school_schema_text(), encoding="utf-8")
    return load_school(folder)
