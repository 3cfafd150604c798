"""The one place where Jinja2 is imported: templates to text.

An unknown variable is an error, never an empty place in a file. HTML templates escape what is
put into them; plain ones (`.j2` of configuration files and boot menus) do not, so whoever
renders those checks each value by its model before.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_PACKAGE = Path(__file__).resolve().parent


def templates_folder() -> Path:
    """The templates: inside the package when installed, beside it in a checkout."""
    installed = _PACKAGE / "templates"
    return installed if installed.is_dir() else _PACKAGE.parent / "templates"


@cache
def environment() -> Environment:
    """Jinja2, set up once for all templates."""
    return Environment(
        loader=FileSystemLoader(templates_folder()),
        undefined=StrictUndefined,
        autoescape=_is_markup,  # noqa: S701 - a function: HTML yes, dnsmasq.conf no
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **values: Any) -> str:
    """The text of a template, for example `netboot/boot.ipxe.j2`.

    Raises jinja2.UndefinedError when the template asks for a value that was not given.
    """
    return environment().get_template(template).render(**values)


def _is_markup(name: str | None) -> bool:
    return name is not None and name.removesuffix(".j2").endswith((".html", ".svg", ".xml"))
