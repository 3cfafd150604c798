"""An installed machine in its school: the real hands of a renewal, and going on after a start.

What is tested on folders elsewhere meets the machine here: its disk, its network, its clock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from provisioner.agent import installed, promises, renew, restart, side, site_apply, site_keep
from provisioner.agent.installed import Installed
from provisioner.agent.journey import Journey
from provisioner.agent.quiet import NOTICE_S, Patience
from provisioner.agent.renew import Applied, Hands, fetched_manifest
from provisioner.agent.room_stick import is_here
from provisioner.agent.surroundings import Home, parse_command_line
from provisioner.errors import ProvisionerError, UnreachableError
from provisioner.model.order import Order, RenewWork, RestartWork
from provisioner.model.release import MANIFEST
from provisioner.model.renewal import Check, RenewEvidence
from provisioner.model.side import SideEvidence
from provisioner.model.signed import MAX_ENVELOPE_BYTES
from provisioner.release.grubcfg import TRIAL
from provisioner.swarm.fetch import HttpCarrier, SocketOption, Waiting

log = logging.getLogger(__name__)

CMDLINE = Path("/proc/cmdline")
NOTICE = "classroom.notice"
STICK_S = 2.0


def find_installed(command_line: str) -> Installed:
    """This machine's disk, as its kernel was told."""
    words = parse_command_line(command_line)
    own = ("BOOT_IMAGE", "boot", "release", "system", "state", "panic", TRIAL)
    rest = [word for word in command_line.split() if word.partition("=")[0] not in own]
    return Installed(words.get("release", ""), words.get(TRIAL) == "1", " ".join(rest))


def renew_here(
    order: Order,
    work: RenewWork,
    home: Home,
    journey: Journey,
    waiting: Waiting,
    options: Sequence[SocketOption] = (),
    stick: Callable[[], str] = lambda: "",
) -> RenewEvidence:
    """Carry out a renewal on the machine that this runs on, or go on with it.

    `stick` tells where the files of a stick are served, if one is plugged in here or in a
    neighbour.
    """
    line = CMDLINE.read_text()
    machine = find_installed(line)
    words = parse_command_line(line)
    patience = Patience(installed.CLASSROOM, notice_s=notice_of(words))

    def source() -> side.Station:
        url = stick() if order.station_url else awaited(stick)
        if order.station_url and not has_release(url, work.release):
            url = home.line.url
        return side.Station(url, home.station_key, waiting, () if is_here(url) else options)

    def fill(
        envelope: bytes, release: str, roots: Mapping[str, Path], steps: Journey
    ) -> SideEvidence:
        return side.fill_side(envelope, release, roots, source(), steps)

    def manifest(work: RenewWork) -> bytes:
        station = source()
        site_keep.fetch(station.url, machine.state, home, waiting, station.options)
        return fetched_manifest(station.http(side.RELEASES, work.release), work)

    def configure(work: RenewWork) -> Applied:
        return Applied(site_apply.apply_site(home, machine.state, work.configuration))

    def look(work: RenewWork, applied: Applied) -> tuple[Check, ...]:
        return promises.look(home, machine, applied.revision)

    hands = Hands(
        fill, manifest, lambda work: patience.wait(work.when), configure, look, leave,
        (_plain(words.get("system", "")), _plain(words.get("state", ""))), installed.CLASSROOM,
    )  # fmt: skip
    arguments = work.kernel_arguments or machine.arguments
    work = work.model_copy(update={"kernel_arguments": arguments})
    return renew.renew(order.model_dump_json(), work, machine, hands, journey)


def awaited(stick: Callable[[], str], pause: Callable[[float], None] = time.sleep) -> str:
    """Where a stick's files are, as soon as there is one again: its wish was cut short by a power
    cut, and nobody has seen it since this machine was switched on."""
    while not (url := stick()):
        pause(STICK_S)
    return url


def has_release(url: str, release: str) -> bool:
    """Whether a stick that happens to be there spares the line."""
    if not url:
        return False

    def give_up(error: UnreachableError, _pause_s: float) -> None:
        raise error

    try:
        HttpCarrier(f"{url}/{side.RELEASES}/{release}", give_up).read(MANIFEST, MAX_ENVELOPE_BYTES)
    except ProvisionerError:
        return False
    return True


def notice_of(words: Mapping[str, str]) -> float:
    """Seconds from the announcement to the start; the kernel's command line may say another."""
    said = words.get(NOTICE, "")
    return float(said) if said.isdecimal() else NOTICE_S


def show_loader() -> None:
    """Let the health report read what starts next, and the classroom take kernels from here."""
    try:
        installed.show_esp(find_installed(CMDLINE.read_text()))
    except (ProvisionerError, OSError) as error:
        log.warning("The EFI system partition is not shown: %s", error)


def unfinished(state: Path = installed.STATE) -> Order | None:
    """The renewal that this machine was in the middle of when it was switched off."""
    journal = renew.read_journal(state)
    if journal is None:
        return None
    try:
        return Order.model_validate_json(journal.order)
    except ValidationError as error:
        log.warning("The order of a renewal cannot be read: %s", error)
        return None


def settled(order: Order, state: Path = installed.STATE) -> None:
    """The station has the record of a renewal."""
    if isinstance(order.work, RenewWork):
        renew.forget_journal(state)


def leave(*, at_once: bool = True) -> NoReturn:
    """Start again, or wait until somebody switches this machine off."""
    while True:
        if at_once:
            restart.leave(RestartWork())
        time.sleep(60.0)


def _plain(word: str) -> str:
    return word.removeprefix("UUID=")
