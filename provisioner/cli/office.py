"""Where commands work: the settings in force, and the station when a command needs it."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from provisioner.settings import Settings, load_settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from provisioner.workshop.station import Station


class Office:
    """Opens things when they are first needed, so that `--help` stays fast."""

    def __init__(self, overrides: dict[str, Any]) -> None:
        self._overrides = overrides

    @cached_property
    def settings(self) -> Settings:
        """Raises ConfigError naming the setting that is wrong."""
        return load_settings(**self._overrides)

    @cached_property
    def station(self) -> Station:
        """The station's state; another process may be serving it at the same time."""
        from provisioner.workshop.station import open_station

        return open_station(self.settings)

    def serving_station(self) -> Station:
        """The same, with the address at which machines reach it; needs its interface."""
        from provisioner.serve import find_address, netboot_settings
        from provisioner.workshop.station import open_station

        netboot = netboot_settings(self.settings, find_address(self.settings))
        return open_station(self.settings, url=netboot.station_url)

    def settings_with(self, **overrides: Any) -> Settings:
        """The settings with a command's own options on top; None means not given."""
        given = {name: value for name, value in overrides.items() if value is not None}
        return load_settings(**self._overrides, **given)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A look at the station's database that keeps nobody waiting."""
        with self.station.database.reading() as session:
            yield session

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One change of the station's database, made wholly or not at all."""
        with self.station.database.transaction() as session:
            yield session

    @property
    def actor(self) -> str:
        """Who asks, for the journal: the person behind sudo, where there is one."""
        return f"cli:{os.environ.get('SUDO_USER') or getpass.getuser()}"


pass_office = click.make_pass_decorator(Office)
