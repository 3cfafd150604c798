"""What the dashboard calls things: stages, events and problems, as a volunteer would say it.

Keys are the program's own words; texts are keys of the catalogues. A test walks the lifecycle,
the errors and every event that is noted anywhere, so that none is without words.
"""

from __future__ import annotations

from typing import NamedTuple

from provisioner.accounts.roles import Right, Role
from provisioner.lifecycle import RunState, Verb
from provisioner.model.batch import DiskRule
from provisioner.model.record import CheckOutcome
from provisioner.model.release import ReleaseKind
from provisioner.web.catalogue import mark
from provisioner.workshop.releases import Standing
from provisioner.workshop.runs import LOGS, RECONFIGURE, RESET_HOMES, RESTART


class Stage(NamedTuple):
    """A stage's name, and what is said while it runs."""

    name: str
    doing: str


class Happening(NamedTuple):
    """A kind of event: its name in a list, and the sentence with the event's figures."""

    name: str
    sentence: str


class Trouble(NamedTuple):
    """What went wrong, in short, and what a volunteer does about it."""

    title: str
    advice: str


STAGES: dict[str, Stage] = {
    Verb.DISCOVER: Stage(mark("discover"), mark("Getting to know it")),
    Verb.ENROL: Stage(mark("enrol"), mark("Registering")),
    Verb.DIAGNOSE: Stage(mark("diagnose"), mark("Testing its parts")),
    Verb.WIPE: Stage(mark("wipe"), mark("Erasing the old data")),
    Verb.IMAGE: Stage(mark("image"), mark("Installing the system")),
    Verb.CONFIGURE: Stage(mark("configure"), mark("Configuring for the school")),
    Verb.VERIFY: Stage(mark("verify"), mark("Checking everything")),
    Verb.HAND_OVER: Stage(mark("hand-over"), mark("Handing over")),
    Verb.RENEW: Stage(mark("renew"), mark("Renewing")),
    Verb.RETIRE: Stage(mark("retire"), mark("Retiring")),
    RESTART: Stage(mark("restart"), mark("Restarting")),
    RECONFIGURE: Stage(mark("set up anew"), mark("Setting up anew")),
    RESET_HOMES: Stage(mark("empty homes"), mark("Emptying the users' folders")),
    LOGS: Stage(mark("send log"), mark("Sending its log")),
}

RUN_STATES: dict[str, str] = {
    RunState.RUNNING: mark("running"),
    RunState.SUCCEEDED: mark("proved"),
    RunState.FAILED: mark("failed"),
    RunState.INTERRUPTED: mark("interrupted"),
}

CHECK_OUTCOMES: dict[str, str] = {
    CheckOutcome.PASS: mark("good"),
    CheckOutcome.WARN: mark("worn"),
    CheckOutcome.FAIL: mark("bad"),
    CheckOutcome.UNKNOWN: mark("unknown"),
}

# What the machine's parts are tested for, by the check's name (agent.diagnose).
PARTS: dict[str, str] = {
    "memory-size": mark("memory size"),
    "memory-pattern": mark("memory test"),
    "disk-present": mark("disk found"),
    "disk-size": mark("disk size"),
    "disk-read": mark("disk speed"),
    "disk-health": mark("disk health"),
    "network-link": mark("network cable"),
    "network-speed": mark("network speed"),
    "clock": mark("clock"),
    "disk-surface": mark("disk surface"),
    "cpu-load": mark("processor under load"),
    "battery": mark("battery"),
    "firmware-missing": mark("missing firmware"),
}

# What a person looks at, by the grade's word for it (model.grade.CHECKLIST).
LOOK_FOR: dict[str, str] = {
    "screen": mark("Screen: no dead spots, no flicker, both connectors show a picture"),
    "keyboard": mark("Keyboard and mouse: every key and button works"),
    "ports": mark("Ports: every USB socket takes a stick, the network socket holds its plug"),
    "sound": mark("Sound: loudspeaker or headphones are heard, the microphone hears"),
    "case": mark("Case: closed, clean, no sharp edge, the fans turn quietly"),
}

# Rules of the grade (model.grade), what they may say besides figures, and where they come from.
RULES: dict[str, str] = {
    "tests": mark("tests"),
    "disk's own verdict": mark("the disk's own verdict"),
    "reallocated sectors (5)": mark("reallocated sectors (5)"),
    "uncorrectable errors (187)": mark("uncorrectable errors (187)"),
    "command timeouts (188)": mark("command timeouts (188)"),
    "pending sectors (197)": mark("pending sectors (197)"),
    "offline uncorrectable (198)": mark("offline uncorrectable (198)"),
    "hours in use": mark("hours in use"),
    "per cent of its life used": mark("per cent of its life used"),
    "NVMe critical warning": mark("NVMe critical warning"),
    "NVMe media errors": mark("NVMe media errors"),
    "looked at by a person": mark("looked at by a person"),
    "screen": mark("screen"),
    "keyboard": mark("keyboard"),
    "ports": mark("ports"),
    "sound": mark("sound"),
    "case": mark("case"),
}
SAW: dict[str, str] = {
    "nothing was tested": mark("nothing was tested"),
    "it says that it is failing": mark("it says that it is failing"),
    "it cannot be read": mark("it cannot be read"),
    "the disk does not tell": mark("the disk does not tell"),
    "a person found it bad": mark("a person found it bad"),
}
SOURCES: dict[str, str] = {
    "Backblaze": mark("Backblaze"),
    "splunk-smartmon on Backblaze's figures": mark("splunk-smartmon on Backblaze's figures"),
    "house": mark("this house's rule"),
}

DISK_RULES: dict[str, str] = {
    DiskRule.ONLY: mark("The only disk; ask me when there are two"),
    DiskRule.SOLID_STATE: mark("The solid-state disk (SSD)"),
    DiskRule.SMALLEST: mark("The smallest disk"),
    DiskRule.LARGEST: mark("The largest disk"),
}

ROLES: dict[str, str] = {
    Role.VOLUNTEER: mark("Volunteer"),
    Role.OPERATOR: mark("Operator"),
    Role.ORGANISER: mark("Organiser"),
    Role.ADMINISTRATOR: mark("Administrator"),
}

RIGHTS: dict[str, str] = {
    Right.LOOK: mark("see everything"),
    Right.WORK: mark("work at the bench"),
    Right.ORDER: mark("open batches, erase, hand over"),
    Right.SCHOOLS: mark("look after schools"),
    Right.RELEASES: mark("build and promote releases"),
    Right.ROLLOUTS: mark("lead rollouts and contests"),
    Right.DONORS: mark("note donors and receipts"),
    Right.ACCOUNTS: mark("manage people and tokens"),
}

STANDINGS: dict[str, str] = {
    Standing.NEW: mark("nothing said yet"),
    Standing.PROMOTED: mark("promoted"),
    Standing.WITHDRAWN: mark("withdrawn"),
}
KINDS: dict[str, str] = {
    ReleaseKind.SYSTEM: mark("system"),
    ReleaseKind.LIVE: mark("live environment"),
}

# In braces: figures of the event. {stage} is the stage's name in the reader's language.
EVENTS: dict[str, Happening] = {
    "batch-opened": Happening(
        mark("batch opened"),
        mark("Batch {name} opened: {size} machines for {school} with {release}"),
    ),
    "batch-closed": Happening(mark("batch closed"), mark("Batch closed")),
    "batch-full": Happening(mark("batch full"), mark("No place left in the batch")),
    "registered": Happening(
        mark("switched on"), mark("Switched on ({surroundings}), address {address}")
    ),
    "record-refused": Happening(
        mark("result refused"),
        mark("A result was refused: it belongs to no order of this machine"),
    ),
    "mac-moved": Happening(
        mark("network address moved"),
        mark("Network address {mac} moved here from another machine"),
    ),
    "account-made": Happening(mark("account made"), mark("Account {login} made: {role}")),
    "account-changed": Happening(
        mark("account changed"), mark("Account {login} changed: {role} {schools}")
    ),
    "code-made": Happening(mark("one-time code made"), mark("A one-time code made for {login}")),
    "logged-in": Happening(mark("logged in"), mark("{login} logged in")),
    "password-chosen": Happening(mark("password chosen"), mark("{login} chose a password")),
    "token-made": Happening(mark("token made"), mark("Token {name} made: {scopes}")),
    "token-revoked": Happening(mark("token turned off"), mark("Token {name} turned off")),
    "batch-reopened": Happening(
        mark("batch opened again"), mark("Batch {name} opened again for {minutes} minutes")
    ),
    "photo-taken": Happening(mark("photo taken"), mark("A photo of its label was kept")),
    "donor-noted": Happening(mark("donor noted"), mark("Donor noted: {name}")),
    "gift-noted": Happening(mark("gift noted"), mark("Given by {name}: {count} machines")),
    "receipt-noted": Happening(
        mark("receipt noted"), mark("Receipt {number} of {factory}: {kilograms} kg recycled")
    ),
    "pupils-declared": Happening(
        mark("pupils declared"), mark("{school} declares {pupils} pupils in {year}: {name}")
    ),
    "lease-noted": Happening(mark("lease noted"), mark("Lease of {school}: {begins} to {ends}")),
    "school-added": Happening(mark("school added"), mark("School {school} added")),
    "school-edited": Happening(
        mark("school's settings changed"), mark("Settings of {school} changed: {lines} lines")
    ),
    "build-started": Happening(mark("build started"), mark("{recipe} is being built")),
    "build-ended": Happening(mark("build ended"), mark("Building {recipe} ended with {code}")),
    "release-standing": Happening(
        mark("release promoted or withdrawn"), mark("{release}: {standing} {reason}")
    ),
    "bench-arranged": Happening(
        mark("bench arranged"), mark("The bench arranged: {count} machines")
    ),
    "certificate-issued": Happening(
        mark("certificate issued"), mark("Certificate {number} issued")
    ),
    "grade-overridden": Happening(
        mark("grade changed"), mark("Grade {letter} instead of {before}: {reason}")
    ),
    "looked-at": Happening(mark("looked at"), mark("A person looked at it: {found}")),
    "who-asked": Happening(
        mark("asked who it is"), mark("It may be {candidates}; a person must say who it is")
    ),
    "who-answered": Happening(mark("told who it is"), mark("A person said who it is: {answer}")),
    "board-replaced": Happening(mark("board replaced"), mark("Another board: {old} → {new}")),
    "network-replaced": Happening(
        mark("network card replaced"), mark("Other network addresses: {old} → {new}")
    ),
    "disk-replaced": Happening(mark("disk replaced"), mark("Other disks: {old} → {new}")),
    "disk-moved": Happening(mark("disk moved"), mark("Disk {disk} was in machine {origin} before")),
    "milestone": Happening(mark("no longer proved"), mark("No longer proved: {was} → {now}")),
    "run-started": Happening(mark("stage started"), mark("{stage} started")),
    "run-succeeded": Happening(mark("stage proved"), mark("{stage} proved")),
    "run-failed": Happening(mark("stage failed"), mark("{stage} failed: {message}")),
    "run-interrupted": Happening(mark("stage interrupted"), mark("{stage} interrupted: {why}")),
    "run-resumed": Happening(
        mark("stage taken up again"),
        mark("{stage} taken up again after the station's restart"),
    ),
    "order-given": Happening(mark("order given"), mark("Ordered: {stage} {disk}")),
    "needs-hand": Happening(mark("needs a hand"), mark("Needs a hand: {message}")),
    "sleep-offered": Happening(
        mark("told to sleep"), mark("Told to sleep for a moment, so that its disk is released")
    ),
    "memory-test": Happening(mark("memory test ordered"), mark("A long memory test was ordered")),
    "try-again": Happening(mark("told to try again"), mark("Told to try again")),
    "disk-chosen": Happening(mark("disk chosen"), mark("Disk chosen: {disk}")),
    "errand-ordered": Happening(mark("errand ordered"), mark("Asked of it: {verb}")),
    "renewal-ordered": Happening(mark("renewal ordered"), mark("To be renewed: {release}")),
    "field-order-withdrawn": Happening(
        mark("order withdrawn"), mark("An order to this machine was withdrawn")
    ),
    "bundle-exported": Happening(mark("stick made"), mark("A stick with a release was made")),
    "receipt-taken-in": Happening(
        mark("receipt came home"), mark("By a stick's receipt it has {release}")
    ),
    "rollout-changed": Happening(mark("rollout changed"), mark("Rollout {rollout}: {change}")),
    "rollout-decided": Happening(
        mark("rollout decided"), mark("Rollout {rollout} {verdict}. {reason}")
    ),
    "rollout-machine-failed": Happening(
        mark("failed in a rollout"), mark("Failed in rollout {rollout}: {message}")
    ),
    "entry-received": Happening(
        mark("entry received"), mark("Entry {code} of contest {contest} received")
    ),
    "entry-erased": Happening(
        mark("personal data erased"), mark("Names of {entries} entries of {contest} erased")
    ),
}

# The kind "milestone" when it rises without a stage's word for it, such as at a hand-over.
RAISED = mark("Now: {was} → {now}")

PROBLEMS: dict[str, Trouble] = {
    "ask": Trouble(
        mark("Which disk shall be used?"),
        mark("Choose the disk on the machine's page, or unplug the one to be kept."),
    ),
    "who": Trouble(
        mark("Which machine is this?"),
        mark("Read the label on its case, then say here which machine it is."),
    ),
    "batch-full": Trouble(
        mark("The batch is full"),
        mark("Open the next batch, then press “Try again”."),
    ),
    "boot-order": Trouble(
        mark("It does not start from its disk"),
        mark("Allow starting from the disk in its firmware setup, then press “Try again”."),
    ),
    "interrupted": Trouble(
        mark("It was cut short again and again"),
        mark("Check its power and network cables, then press “Try again”."),
    ),
    "DiskChoiceError": Trouble(
        mark("The disk does not fit"),
        mark("See whether the disk is connected, or choose another one."),
    ),
    "DiskFaultError": Trouble(
        mark("The disk is faulty"),
        mark("Put in another disk, then press “Try again”."),
    ),
    "WipeRefusedError": Trouble(
        mark("The disk cannot be erased as demanded"),
        mark("Read the reason below. Take the disk out, or have the cause removed."),
    ),
    "DriveFrozenError": Trouble(
        mark("The firmware has frozen the disk"),
        mark("Let the machine sleep for a moment; if it does not wake, press its power button."),
    ),
    "memory-test": Trouble(
        mark("A long memory test was ordered"),
        mark(
            "Switch it off and on. After a full pass press “Try again”, then switch it off and on."
        ),
    ),
    "ImageMismatchError": Trouble(
        mark("What is on the disk differs from the release"),
        mark("Press “Try again”; if it happens twice, change memory or disk."),
    ),
    "ProofMissingError": Trouble(
        mark("It could not be proved"),
        mark("Read the evidence below, mend the cause, then press “Try again”."),
    ),
    "UntrustedError": Trouble(
        mark("Something could not be trusted and was refused"),
        mark("Nothing was written. Ask the operator to look at the journal."),
    ),
    "NotAllowedError": Trouble(
        mark("You may not do this"),
        mark("Ask somebody who may; an administrator can change what you may do."),
    ),
    "CommandError": Trouble(
        mark("A tool failed"),
        mark("Restart the machine and press “Try again”; if it happens twice, ask the operator."),
    ),
    "ConfigError": Trouble(
        mark("A file of the school or a setting is wrong"),
        mark("Mend the file that is named, then press “Try again”."),
    ),
    "WrongStateError": Trouble(
        mark("This does not fit now"),
        mark("Look at where the machine stands, then decide."),
    ),
    "NotFoundError": Trouble(
        mark("Something is missing on the station"),
        mark("Ask the operator to look for what is named."),
    ),
    "RenewalInterruptedError": Trouble(
        mark("The renewal was cut short"),
        mark("Leave it switched on; it goes on by itself."),
    ),
    "NewSystemSilentError": Trouble(
        mark("The new release did not come up"),
        mark("It works on with the old one. Ask the operator to look at the details."),
    ),
    "UnreachableError": Trouble(
        mark("It cannot be reached"),
        mark("Check its network cable and whether it is switched on."),
    ),
    "StationError": Trouble(
        mark("The station lacks something"),
        mark("Ask the operator to run “provisioner doctor”."),
    ),
}
OTHER_PROBLEM = Trouble(
    mark("Something went wrong"),
    mark("Ask the operator to look at the details."),
)

# What the station itself says that it is doing to a machine (workshop.field_work).
STATION_STEPS = (mark("checking every promise"),)

HTTP_PROBLEMS: dict[int, str] = {
    403: mark("This is not allowed"),
    404: mark("There is no such page"),
    405: mark("There is no such page"),
    409: mark("This does not fit now"),
    413: mark("This is too large"),
    422: mark("Something is filled in wrongly"),
    429: mark("Too many tries"),
    500: mark("Something went wrong"),
    503: mark("It cannot be reached"),
}
