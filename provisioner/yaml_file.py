"""YAML files written by people: recipes, schools, batches.

`load()` reads a file into a value of the model and turns every mistake into a ConfigError that
names file, line and field, and for an unknown key the nearest known one. YAML's own traps are
closed: duplicate keys are an error, and no tag can construct anything but plain data.
"""

from __future__ import annotations

import re
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from provisioner.errors import ConfigError, nearest

M = TypeVar("M", bound=BaseModel)
Loc = tuple[int | str, ...]
MAX_BYTES = 1024 * 1024
_QUOTED = re.compile(r"'([^']*)'")


def load(path: Path, model: type[M]) -> M:
    """Read `path` as `model`. Raises ConfigError naming file, line and field."""
    data, lines = load_plain(path)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _explain(error.errors(), model, path, lines) from error


def load_plain(path: Path) -> tuple[Any, dict[Loc, int]]:
    """The file as plain data, and the line (from 1) of every key and item in it."""
    node = _compose(path)
    lines: dict[Loc, int] = {}
    _check(node, (), path, lines)
    try:
        return _Constructor("").construct_document(node), lines
    except yaml.MarkedYAMLError as error:  # a tag that asks for more than plain data
        raise _not_yaml(error, path) from error


def parse(text: str, path: Path) -> Any:
    """Text that was not read from `path` as it stands, such as a decrypted vault, as plain data."""
    node = _compose_text(text, path)
    _check(node, (), path, {})
    return _Constructor("").construct_document(node)


def dump(value: Any) -> str:
    """Plain data as YAML that a person likes to read."""
    return yaml.safe_dump(value, allow_unicode=True, sort_keys=False, default_flow_style=False)


class _Constructor(yaml.SafeLoader):
    """Dates stay text: a version such as 2026-10-01 must not become something else."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way of setting them
        first: [(tag, regexp) for tag, regexp in pairs if tag != "tag:yaml.org,2002:timestamp"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _compose(path: Path) -> yaml.Node:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(
                "The file is larger than 1 MiB.", "Is this the right file?", file=path
            )
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"Cannot be read: {error.strerror}.", file=path) from error
    except UnicodeDecodeError as error:
        raise ConfigError("Is not UTF-8 text.", "Save it as UTF-8.", file=path) from error
    return _compose_text(text, path)


def _compose_text(text: str, path: Path) -> yaml.Node:
    try:
        node = yaml.compose(text, Loader=_Constructor)
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error, path) from error
    if node is None:
        raise ConfigError("The file is empty.", file=path)
    return node


def _not_yaml(error: yaml.MarkedYAMLError, path: Path) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    return ConfigError(
        f"This is not valid YAML: {error.problem or error.context}.",
        "Check indentation, colons and quotes around this line.",
        file=path,
        line=mark.line + 1 if mark else None,
    )


def _check(node: yaml.Node, loc: Loc, path: Path, lines: dict[Loc, int]) -> None:
    """Note the line of every node and refuse duplicate keys."""
    lines.setdefault(loc, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                raise ConfigError("This key stands twice.", file=path, line=line, field=name)
            seen.add(name)
            lines[(*loc, name)] = line
            _check(value, (*loc, name), path, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _check(item, (*loc, index), path, lines)


def _explain(
    errors: list[ErrorDetails], model: type[BaseModel], path: Path, lines: dict[Loc, int]
) -> ConfigError:
    # A mistyped key also leaves the right one missing; the typo is what helps.
    first = min(errors, key=lambda error: error["type"] != "extra_forbidden")
    loc: Loc = tuple(first["loc"])
    field = ".".join(str(part) for part in loc) or None
    line = next((lines[loc[:n]] for n in range(len(loc), -1, -1) if loc[:n] in lines), None)
    if first["type"] == "extra_forbidden":
        return ConfigError(
            "Unknown key.", nearest(str(loc[-1]), _keys_at(model, loc[:-1])),
            file=path, line=line, field=field,
        )  # fmt: skip
    if first["type"] in ("enum", "literal_error"):
        known = _QUOTED.findall(first.get("ctx", {}).get("expected", ""))
        return ConfigError(
            f"“{first['input']}” is not known here.", nearest(str(first["input"]), known),
            file=path, line=line, field=field,
        )  # fmt: skip
    message = first["msg"].removeprefix("Value error, ").rstrip(".") + "."
    return ConfigError(message, _others(errors), file=path, line=line, field=field)


def _others(errors: list[ErrorDetails]) -> str:
    return f"{len(errors) - 1} more mistakes follow in this file." if len(errors) > 1 else ""


def _keys_at(model: type[BaseModel], loc: Loc) -> list[str]:
    """The field names of the model that stands at `loc` inside `model`."""
    here: type[BaseModel] = model
    for part in loc:
        field = here.model_fields.get(str(part))
        inner = _model_in(field.annotation) if field else None
        here = inner or here
    return list(here.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (None, types.NoneType):
        return None
    return next((m for arg in typing.get_args(annotation) if (m := _model_in(arg))), None)
