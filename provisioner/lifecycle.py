"""The path of a machine, as a table: pure, without I/O, the map of the whole program.

A milestone states what can be proved about a machine *now*. It is lowered before anything
destructive starts, and raised only when the station has judged the evidence. Running, waiting
and failed belong to a stage's run, not to further milestones.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Milestone(StrEnum):
    """What has been proved, in the order of the path."""

    UNKNOWN = "unknown"  # it has never told us about itself
    DISCOVERED = "discovered"  # it told us its hardware, signed with its own key
    ENROLLED = "enrolled"  # it has an asset tag and belongs to a batch
    DIAGNOSED = "diagnosed"  # its parts were tested and carry the wanted release
    WIPED = "wiped"  # the donor's data are gone from the chosen disk
    IMAGED = "imaged"  # the release stands on the disk, read back byte for byte
    CONFIGURED = "configured"  # it is as its school's folder says
    VERIFIED = "verified"  # every promise to the school was checked on it
    HANDED_OVER = "handed-over"  # the school signed for it
    RETIRED = "retired"  # taken back, to be dismantled

    @property
    def rank(self) -> int:
        """Place on the path, from 0."""
        return list(Milestone).index(self)


class Verb(StrEnum):
    """The stages: the same word in module, command, API, test and log."""

    DISCOVER = "discover"
    ENROL = "enrol"
    DIAGNOSE = "diagnose"
    WIPE = "wipe"
    IMAGE = "image"
    CONFIGURE = "configure"
    VERIFY = "verify"
    HAND_OVER = "hand-over"
    RENEW = "renew"
    RETIRE = "retire"


class Place(StrEnum):
    """Where a stage does its work."""

    MACHINE_LIVE = "live environment"
    STATION = "station"
    STATION_TO_INSTALLED = "station, over SSH to the installed system"
    MACHINE_INSTALLED = "installed system"
    PERSON = "person"


@dataclass(frozen=True)
class Stage:
    """One step of the path.

    `needs` must have been proved before it starts; `holds` is what can still be proved while
    it runs and if it fails; `gives` is what it proves. A stage that only `looks` changes nothing
    on the machine, so what was proved before stands until it finds otherwise. One that works
    `beside` what is proved leaves it as it is until the new has been proved in its place.
    """

    verb: Verb
    needs: Milestone
    holds: Milestone
    gives: Milestone
    place: Place
    destroys: bool = False
    looks: bool = False
    beside: bool = False


_M, _P = Milestone, Place
# fmt: off
STAGES: tuple[Stage, ...] = (
    Stage(Verb.DISCOVER,  _M.UNKNOWN,     _M.UNKNOWN,    _M.DISCOVERED,  _P.MACHINE_LIVE),
    Stage(Verb.ENROL,     _M.DISCOVERED,  _M.DISCOVERED, _M.ENROLLED,    _P.STATION),
    Stage(Verb.DIAGNOSE,  _M.ENROLLED,    _M.ENROLLED,   _M.DIAGNOSED,   _P.MACHINE_LIVE,
          looks=True),
    Stage(Verb.WIPE,      _M.DIAGNOSED,   _M.DIAGNOSED,  _M.WIPED,       _P.MACHINE_LIVE,
          destroys=True),
    Stage(Verb.IMAGE,     _M.WIPED,       _M.WIPED,      _M.IMAGED,      _P.MACHINE_LIVE,
          destroys=True),
    Stage(Verb.CONFIGURE, _M.IMAGED,      _M.IMAGED,     _M.CONFIGURED,  _P.STATION_TO_INSTALLED),
    Stage(Verb.VERIFY,    _M.CONFIGURED,  _M.CONFIGURED, _M.VERIFIED,    _P.STATION_TO_INSTALLED,
          looks=True),
    Stage(Verb.HAND_OVER, _M.VERIFIED,    _M.VERIFIED,   _M.HANDED_OVER, _P.PERSON),
    # In service. Renewing puts a new release beside the old one, and the machine itself goes over
    # to it only when it is configured and checked; retiring ends it.
    Stage(Verb.RENEW,     _M.HANDED_OVER, _M.HANDED_OVER, _M.HANDED_OVER, _P.MACHINE_INSTALLED,
          beside=True),
    Stage(Verb.RETIRE,    _M.DISCOVERED,  _M.DISCOVERED, _M.RETIRED,     _P.PERSON),
)
# fmt: on
_BY_VERB = {stage.verb: stage for stage in STAGES}

# The workshop's part of the path runs by itself, up to here.
WORKSHOP_GOAL = Milestone.VERIFIED

# A run that was cut short by power, network or a restarted station is tried again by itself,
# at most this often in a row; a run that *failed* waits for a person, because doing the same
# thing to a failing disk once more proves nothing.
MAX_INTERRUPTIONS = 5


class RunState(StrEnum):
    """How one run of a stage stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


def stage(verb: Verb) -> Stage:
    """The row of the table for `verb`."""
    return _BY_VERB[verb]


def next_stage(milestone: Milestone) -> Stage | None:
    """What the workshop does next by itself with a machine that stands at `milestone`."""
    if milestone.rank >= WORKSHOP_GOAL.rank:
        return None
    return next(row for row in STAGES if row.needs is milestone)


def may_start(verb: Verb, milestone: Milestone) -> bool:
    """Whether what `verb` needs has been proved (it may have been done before already)."""
    return milestone is not Milestone.RETIRED and milestone.rank >= stage(verb).needs.rank


def while_running(verb: Verb, milestone: Milestone) -> Milestone:
    """What can still be proved once `verb` has started on a machine at `milestone`."""
    row = stage(verb)
    return milestone if row.looks or row.beside else _at_most(milestone, row.holds)


def when_proved(verb: Verb, milestone: Milestone) -> Milestone:
    """What is proved after `verb` has succeeded on a machine that stands at `milestone`."""
    gives = stage(verb).gives
    return max(milestone, gives, key=lambda mark: mark.rank) if stage(verb).looks else gives


def when_not_proved(verb: Verb, milestone: Milestone) -> Milestone:
    """What is left after `verb` has failed; being cut short is no finding and changes nothing."""
    return _at_most(milestone, stage(verb).holds)


def _at_most(milestone: Milestone, limit: Milestone) -> Milestone:
    return min(milestone, limit, key=lambda mark: mark.rank)


def needs_live_environment(milestone: Milestone) -> bool:
    """Whether a machine that is switched on now must start from the network.

    From "imaged" on it starts from its own disk, which is itself part of the proof.
    """
    return milestone.rank < Milestone.IMAGED.rank
