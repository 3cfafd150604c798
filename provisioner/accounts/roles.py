"""Roles and their rights: pure. A token's scopes are the same words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from provisioner.errors import NotAllowedError


class Right(StrEnum):
    """What somebody may do; every route that changes something names one."""

    LOOK = "look"  # see pages and files
    WORK = "work"  # hands at the bench: try again, checklist, photo, arrange
    ORDER = "order"  # batches, erasing, grades, certificates, handing over
    SCHOOLS = "schools"  # school.yml, leases, declared pupils
    RELEASES = "releases"  # build, promote, withdraw
    ROLLOUTS = "rollouts"  # waves to many schools, contests
    DONORS = "donors"  # who gave what, receipts of recycling
    ACCOUNTS = "accounts"  # people and tokens


class Role(StrEnum):
    """What a person is here for."""

    VOLUNTEER = "volunteer"
    OPERATOR = "operator"
    ORGANISER = "organiser"
    ADMINISTRATOR = "administrator"


RIGHTS: dict[Role, frozenset[Right]] = {
    Role.VOLUNTEER: frozenset({Right.LOOK, Right.WORK}),
    Role.OPERATOR: frozenset(set(Right) - {Right.ACCOUNTS}),
    # Looks after schools, contests and donors, away from the bench: erases nothing.
    Role.ORGANISER: frozenset({Right.LOOK, Right.SCHOOLS, Right.ROLLOUTS, Right.DONORS}),
    Role.ADMINISTRATOR: frozenset(Right),
}


@dataclass(frozen=True)
class Who:
    """Somebody who has come in. `actor` is what the journal calls them; no `schools` means all."""

    actor: str
    rights: frozenset[Right]
    schools: frozenset[str] = frozenset()
    account: int | None = None
    role: Role | None = None
    needs_password: bool = False

    def as_actor(self, actor: str) -> Who:
        """The same rights under another name in the journal."""
        return replace(self, actor=actor)

    def may(self, right: Right) -> bool:
        return right in self.rights

    def may_touch(self, school: str) -> bool:
        """Whether this school is theirs to look after."""
        return not self.schools or school in self.schools

    def must_touch(self, school: str) -> None:
        """Raises NotAllowedError for a school that is somebody else's."""
        if not self.may_touch(school):
            raise NotAllowedError(
                f"The school {school} is not among yours.", "Ask who looks after it."
            )
