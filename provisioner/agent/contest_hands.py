"""The hands of `contest.py` on a real machine: the layer, its playbook, and looking.

STATE/contest/NAME/NAME@VERSION/   layers, each with its signed manifest
STATE/contest/NAME/play/           the playbook that came in the layer that is used
STATE/contest/NAME/card.json       what that layer says of the contest

The playbook runs with a local connection and needs nobody. What it came to is looked at here,
without asking it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import urllib3
from pydantic import ValidationError

from provisioner.agent.contest import Goal
from provisioner.agent.installed import CLASSROOM, STATE
from provisioner.agent.layer import fetch_layer, have_layer, image_of
from provisioner.agent.local_play import play_here
from provisioner.agent.side import Station
from provisioner.errors import ProofMissingError, UnreachableError, UntrustedError
from provisioner.model.contest import ContestCard, ContestPlace
from provisioner.model.release import MANIFEST, Manifest
from provisioner.run import run

SHARE, PROGRAMS = Path("usr/share/classroom"), Path("usr/lib/classroom")
PLAYBOOK, CARD, HOST = "play/contest.yml", "card.json", "machine"
PAGE_URL = "http://127.0.0.1:8602/contest.json"
MERGED = Path("usr/lib/extension-release.d/extension-release.contest")
MOUNT_S, SEND_S = 60, 3600
MOST_PAUSE_S = 4.0
PAGE = urllib3.Timeout(connect=2.0, read=10.0)


class ContestHands:
    """`station` is where the machine speaks to now, `store` where layers lie, `root` the system
    that runs."""

    def __init__(self, station: Callable[[], Station], store: Path = STATE / "contest",
                 root: Path = Path("/"), work: Path = CLASSROOM / "contest",
                 boxes: Path = STATE / "hand-in") -> None:  # fmt: skip
        self._station, self._store, self._root, self._work = station, store, root, work
        self._boxes = boxes

    def bring(self, goal: Goal, least: int) -> int:
        folder = self._store / goal.contest
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        manifest = have_layer(folder, goal.release, self._station().key)
        if manifest is None:
            manifest = fetch_layer(folder, goal.release, self._station(), least)
        self._take_out(folder, folder / goal.release / image_of(manifest))
        return manifest.number

    def here(self, goal: Goal) -> bool:
        return (self._store / goal.contest / goal.release / MANIFEST).is_file()

    def card(self, goal: Goal) -> ContestCard | None:
        try:
            return ContestCard.model_validate_json((self._store / goal.contest / CARD).read_bytes())
        except (OSError, ValidationError):
            return None

    def play(self, goal: Goal, place: ContestPlace) -> None:
        folder = self._store / goal.contest
        if not (folder / PLAYBOOK).is_file():
            if trouble := self.trouble(goal):
                raise ProofMissingError(trouble, "Its layer is brought anew.")
            return  # nothing of it was ever here
        self._work.mkdir(parents=True, exist_ok=True)
        aside = self._work / "play"  # “removed” takes away what it is played from
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(folder / "play", aside)
        inventory = self._work / "inventory.json"
        inventory.write_text(json.dumps(self._inventory(goal, place)))
        play_here(aside / "contest.yml", inventory, self._work, "The contest")
        if goal.state == "on":
            _keep_only(folder, goal.release)

    def trouble(self, goal: Goal) -> str:
        merged = (self._root / MERGED).exists()
        mine = self._merged(f"/{goal.contest}@")
        if goal.state == "on":
            if not (merged and self._merged(f"/{goal.release}/")):
                return "The contest's layer is not merged."
            return "" if self._page(goal) else "The hand-in page does not answer."
        if merged and mine:
            return "The contest's layer is still merged."
        if goal.state == "removed":
            return "Something of the contest is left." if self._left(goal) else ""
        return "" if self.here(goal) else "The layer is not here."

    def send(self, goal: Goal) -> int:
        """With the layer's own program, which is not merged now. Raises ProvisionerError."""
        box = self._boxes / goal.contest
        if not waiting_in(box):
            return 0
        manifest = self._any_layer(goal)
        if manifest is None:
            return waiting_in(box)
        with self._program(goal, manifest) as code:
            surroundings = {
                "PYTHONPATH": str(code),
                "PYTHONDONTWRITEBYTECODE": "1",
                "CREDENTIALS_DIRECTORY": str(self._root / "etc/classroom"),
            }
            words = ["python3", "-m", "provisioner.handin", "--send", goal.contest]
            run(words, timeout_s=SEND_S, check=False, env=surroundings)
        return waiting_in(box)

    def forget(self, goal: Goal) -> None:
        box = self._boxes / goal.contest
        if not waiting_in(box):
            shutil.rmtree(box, ignore_errors=True)

    def _any_layer(self, goal: Goal) -> Manifest | None:
        found = sorted((self._store / goal.contest).glob(f"{goal.contest}@*"))
        layers = (have_layer(path.parent, path.name, self._station().key) for path in found)
        return next((one for one in layers if one), None)

    @contextlib.contextmanager
    def _program(self, goal: Goal, manifest: Manifest) -> Iterator[Path]:
        """The system's programs with the layer's over them, for one process."""
        image = self._store / goal.contest / manifest.id / image_of(manifest)
        code = self._work / "code"
        code.mkdir(parents=True, exist_ok=True)
        with self._opened(image) as layer:
            lower = f"lowerdir={layer / PROGRAMS}:{self._root / PROGRAMS}"
            run(["mount", "-t", "overlay", "-o", f"ro,{lower}", "overlay", code], timeout_s=MOUNT_S)
            try:
                yield code
            finally:
                run(["umount", code], timeout_s=MOUNT_S)

    @contextlib.contextmanager
    def _opened(self, image: Path) -> Iterator[Path]:
        point = self._work / "layer"
        point.mkdir(parents=True, exist_ok=True)
        run(["mount", "-t", "squashfs", "-o", "loop,ro,nosuid,nodev", image, point],
            timeout_s=MOUNT_S)  # fmt: skip
        try:
            yield point
        finally:
            run(["umount", point], timeout_s=MOUNT_S)

    def _merged(self, part: str) -> bool:
        """Whether what is to be merged, if anything is, lies below a folder of this name."""
        link = self._root / "var/lib/extensions/contest.raw"
        return link.is_symlink() and part in str(link.readlink())

    def _left(self, goal: Goal) -> bool:
        return (self._store / goal.contest).exists()

    def _page(self, goal: Goal) -> bool:
        try:
            again = urllib3.Retry(8, backoff_factor=0.2)  # it may just have been started
            answer = urllib3.PoolManager().request("GET", PAGE_URL, timeout=PAGE, retries=again)
            return bool(json.loads(answer.data)["name"] == goal.contest)
        except (urllib3.exceptions.HTTPError, OSError, ValueError, KeyError):
            return False

    def _inventory(self, goal: Goal, place: ContestPlace) -> dict[str, object]:
        folder = self._store / goal.contest
        card = self.card(goal)
        manifest = have_layer(folder, goal.release, self._station().key)
        image = image_of(manifest) if manifest else "contest.raw"
        digest = manifest.file(image).sha256 if manifest else ""
        station = urlsplit(self._station().url).hostname or ""
        values: dict[str, object] = {
            "contest_state": goal.state,
            "contest_layer": "",
            "contest_layer_sha256": digest,
            "contest_store": str(folder),
            "contest_image": str(folder / goal.release / image),
            "contest_seat": place.seat.model_dump(mode="json"),
            "contest_room": [station],
            "contest_allowed_hosts": list(card.allowed_hosts) if card else [],
            "contest_pupil": place.pupil,
            "contest_pupil_home": f"/home/{place.pupil}" if place.pupil else "",
        }
        local = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}
        return {"all": {"hosts": {HOST: local}, "vars": _plain(values)}}

    def _take_out(self, folder: Path, image: Path) -> None:
        """The playbook and the card, as the layer holds them; whole or not at all."""
        new = folder / "play.new"
        shutil.rmtree(new, ignore_errors=True)
        with self._opened(image) as layer:
            shutil.copytree(layer / SHARE / "contest-play", new)
            shutil.copyfile(layer / SHARE / "contest/contest.json", folder / f"{CARD}.new")
        shutil.rmtree(folder / "play", ignore_errors=True)
        new.rename(folder / "play")
        (folder / f"{CARD}.new").replace(folder / CARD)


def waiting_in(box: Path) -> int:
    """Entries without the station's receipt: this machine's own, and those of a teacher's room."""
    pairs = ((box / "hand-ins", box / "station"), (box / "room/receipts", box / "room/station"))
    return sum(
        not (there / path.name).exists() for here, there in pairs for path in here.glob("*.json")
    )


def _keep_only(folder: Path, release: str) -> None:
    """Older layers have served; the newest is a step for the next one's difference."""
    for path in folder.glob("*@*"):
        if path.name != release:
            shutil.rmtree(path, ignore_errors=True)


def _plain(value: object) -> object:
    """The same, refused when Ansible could take a word of it for a template."""
    if "{{" in (text := json.dumps(value)) or "{%" in text:
        raise UntrustedError("What the station says of this contest is no plain text.")
    return value


def not_for_long(error: UnreachableError, pause_s: float) -> None:
    """How a layer is waited for: a few seconds. Then the contest's hours are looked at again, and
    what was brought so far is gone on with. Raises the error."""
    if pause_s >= MOST_PAUSE_S:
        raise error
    time.sleep(pause_s)


def wish_in(folder: Path) -> Callable[[], str]:
    """What somebody at the machine wishes: the file `contest`, which is gone when it was read."""

    def read() -> str:
        file = folder / "contest"
        try:
            said = file.read_text()[:20].strip()
            file.unlink()
        except (OSError, UnicodeDecodeError):
            return ""
        return said

    return read
