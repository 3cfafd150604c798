"""What can go wrong, named by who must act.

Every error is a message (what is the matter, with names and numbers) and a hint (what to do
next). Errors are raised below and caught once at each edge: the command line prints them, the
API turns them into RFC 9457 problem documents, a stage run records them, and the agent paints
them in red on the machine's own screen.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class ProvisionerError(Exception):
    """Base of all our errors; `hint` is one sentence that a volunteer can act on."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ConfigError(ProvisionerError):
    """A file that a person wrote is wrong; the operator mends it."""

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        file: Path | None = None,
        line: int | None = None,
        field: str | None = None,
    ) -> None:
        where = ":".join(str(part) for part in (file, line) if part is not None)
        what = f"{field}: {message}" if field else message
        super().__init__(f"{where}: {what}" if where else what, hint)
        self.file, self.line, self.field = file, line, field


class CommandError(ProvisionerError):
    """An external command failed, timed out or is not installed."""


class TooSlowError(CommandError):
    """An external command did not end in time; says nothing about what it was given."""


class UntrustedError(ProvisionerError):
    """A signature, key, counter or order does not hold; nothing was done."""


class TooLargeError(UntrustedError):
    """A request exceeds a limit; it was not read any further."""


class NotAllowedError(ProvisionerError):
    """Whoever asks may not do this; somebody else may."""


class RenewalInterruptedError(ProvisionerError):
    """The renewal was cut short, and nothing speaks against trying it again."""


class NewSystemSilentError(ProvisionerError):
    """The new release was started as often as allowed and never said a word."""


class DiskChoiceError(ProvisionerError):
    """No disk, or more than one, fits the rule; a person must say which."""


class DiskFaultError(ProvisionerError):
    """The medium failed to keep what was written; replace the part."""


class WipeRefusedError(ProvisionerError):
    """A disk cannot be erased as its batch demands; a person decides what becomes of it."""


class DriveFrozenError(WipeRefusedError):
    """The firmware has frozen the drive's commands; a person may let the machine sleep."""


class ImageMismatchError(ProvisionerError):
    """What was read back is not what the manifest says."""


class ProofMissingError(ProvisionerError):
    """A step ran, but nothing independent shows that it worked; unknown counts as no."""


class WrongStateError(ProvisionerError):
    """The request does not fit where the machine stands on its path."""


class NotFoundError(ProvisionerError):
    """No such machine, batch, release or school."""


class UnreachableError(ProvisionerError):
    """The other side did not answer in time; retried by rule."""


class StationError(ProvisionerError):
    """The station itself lacks something: a package, a port, disk space, a right."""


def nearest(wrong: str, known: Iterable[str]) -> str:
    """'Did you mean …?' for the closest known word, or the list of what is allowed."""
    choices = sorted(known)
    close = difflib.get_close_matches(wrong, choices, n=1, cutoff=0.5)
    if close:
        return f"Did you mean “{close[0]}”?"
    return f"Known here: {', '.join(choices)}." if choices else ""
