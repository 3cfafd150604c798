"""A whole virtual workshop: wire, station, releases and PCs, ready to be switched on.

`make lab` and the tests in `tests/vm` use the same class; it makes everything and, whatever
happens, removes everything again.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from provisioner.errors import StationError
from provisioner.lab.classroom import Classroom
from provisioner.lab.machine import Machine
from provisioner.lab.network import LabNetwork
from provisioner.lab.station import LabStation
from provisioner.model.signed import PrivateKey
from provisioner.release.build import ensure_release
from provisioner.release.catalog import Catalog
from provisioner.release.materials import Wishes
from provisioner.secret_file import secret_file
from provisioner.settings import Settings
from provisioner.workshop.station import STATION_KEY

Report = Callable[[str, float], None]
RECIPES = ("live", "lab")
SCHOOL = "first-room"


class VirtualWorkshop:
    """Everything of a lab run; use as a context manager.

    Releases are kept in the cache, signed by a key that is kept beside them; everything else
    lives in a fresh folder that is removed at the end.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        machines: int = 2,
        report: Report = lambda _step, _fraction: None,
        station_settings: Mapping[str, str] | None = None,
    ) -> None:
        self._settings, self._count = settings, machines
        self._report, self._station_settings = report, dict(station_settings or {})
        self._parts = contextlib.ExitStack()

    def __enter__(self) -> VirtualWorkshop:
        try:
            self._set_up()
        except BaseException:
            self._parts.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    @property
    def machines(self) -> list[Machine]:
        return self.classroom.machines

    def open_batch(self, name: str = "lab", **changes: Any) -> Any:
        """Open a batch for the lab's PCs at the example school; the station's answer."""
        plan = {
            "name": name,
            "school": SCHOOL,
            "release": "lab",
            "size": self._count,
            "policy": {"disk": "smallest"},
            **changes,
        }
        return self.station.post("batches", plan)

    def power_on(self) -> None:
        """Switch every PC on, as a volunteer would: one after the other."""
        for machine in self.machines:
            machine.start()

    def _set_up(self) -> None:
        base = self._settings.cache_dir / "lab"
        base.mkdir(parents=True, exist_ok=True)
        key = PrivateKey.from_hex(secret_file(base / STATION_KEY, _new_key))
        catalog = Catalog(base / "releases")
        for recipe in RECIPES:
            ensure_release(
                self._settings.images_dir / recipe,
                catalog=catalog,
                key=key,
                cache=self._settings.cache_dir,
                wishes=Wishes(mirror=self._settings.mirror),
                report=self._report,
            )
        self.folder = self._own_folder()
        state = self.folder / "station"
        state.mkdir()
        shutil.copy2(base / STATION_KEY, state / STATION_KEY)
        (state / "releases").symlink_to(catalog.root)
        self.network = self._parts.enter_context(LabNetwork())
        self.station = LabStation(self.network, state, self._station_settings)
        self._report("Starting the station", 0.0)
        self._parts.enter_context(self.station)
        self.classroom = self._parts.enter_context(
            Classroom(self.network, self.folder / "machines", count=self._count)
        )

    def _own_folder(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="classroom-lab-", dir=_roomy_folder()))
        folder.chmod(0o711)  # dnsmasq runs as a user of its own and must reach the TFTP root
        self._parts.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder


def _new_key() -> str:
    return PrivateKey.generate().to_hex()


def _roomy_folder(needed_bytes: int = 6 * 10**9) -> Path:
    """A folder for the virtual disks, on a disk and not in memory."""
    folder = Path("/var/tmp")  # noqa: S108 - made with mkdtemp, which is private
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise StationError(
            f"Only {free / 1e9:.1f} GB are free in {folder}; the virtual disks need "
            f"{needed_bytes / 1e9:.0f} GB.",
            "Remove something there.",
        )
    return folder
