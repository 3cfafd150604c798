"""Accounts: who they are, what they may, and the first administrator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, StringConstraints
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from provisioner.accounts import passwords
from provisioner.accounts.roles import RIGHTS, Role, Who
from provisioner.errors import NotFoundError, WrongStateError, nearest
from provisioner.model.base import Model, Name, ShortText
from provisioner.store.events import note
from provisioner.store.office import AccountRow, CodeRow, SessionRow

FIRST = "admin"
Login = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9.-]{0,30}$")]


class Person(Model):
    """An account as somebody asks for it."""

    login: Login
    name: ShortText = ""
    role: Role = Role.VOLUNTEER
    schools: tuple[Name, ...] = Field((), max_length=200, description="none: all schools")


class PersonView(Person):
    """An account as it is shown; there is nothing secret in it."""

    has_password: bool
    active: bool


def who_is(row: AccountRow) -> Who:
    role = Role(row.role)
    return Who(
        actor=row.login, rights=RIGHTS[role], schools=frozenset(row.schools), account=row.id,
        role=role, needs_password=row.password is None,
    )  # fmt: skip


def people(session: Session) -> list[PersonView]:
    return [view(row) for row in session.scalars(select(AccountRow).order_by(AccountRow.login))]


def view(row: AccountRow) -> PersonView:
    return PersonView(
        login=row.login, name=row.name, role=Role(row.role), schools=tuple(row.schools),
        has_password=row.password is not None, active=row.active,
    )  # fmt: skip


def find_person(session: Session, login: str) -> AccountRow:
    """Raises NotFoundError with the nearest login."""
    row = session.scalar(select(AccountRow).where(AccountRow.login == login))
    if row is None:
        known = session.scalars(select(AccountRow.login)).all()
        raise NotFoundError(f"There is no account “{login}”.", nearest(login, known))
    return row


def add_person(session: Session, person: Person, actor: str) -> AccountRow:
    """An account without a password yet; a one-time code lets its owner choose one."""
    if session.scalar(select(AccountRow).where(AccountRow.login == person.login)):
        raise WrongStateError(f"There is an account “{person.login}”.", "Choose another login.")
    row = AccountRow(
        login=person.login, name=person.name, role=person.role, schools=list(person.schools)
    )
    session.add(row)
    session.flush()
    note(session, "account-made", actor=actor, login=row.login, role=row.role)
    return row


def change_person(
    session: Session, login: str, role: Role, schools: Iterable[str], active: bool, actor: str
) -> AccountRow:
    """Another role, other schools, or nobody any more. Somebody must stay administrator.

    Whatever sessions the account has end, so that what it may no longer do ends now.
    """
    row = find_person(session, login)
    was = row.active and row.role == Role.ADMINISTRATOR
    stays = active and role is Role.ADMINISTRATOR
    if was and not stays and not _other_administrators(session, row):
        raise WrongStateError(
            "This is the last administrator.", "Make another one first: somebody must be."
        )
    row.role, row.schools, row.active = role, sorted(set(schools)), active
    end_sessions(session, row)
    note(
        session, "account-changed", actor=actor,
        login=login, role=role, active=active, schools=", ".join(row.schools),
    )  # fmt: skip
    return row


def choose_password(session: Session, login: str, password: str, actor: str) -> AccountRow:
    """A new password; other sessions and open codes of the account end."""
    row = find_person(session, login)
    row.password = passwords.hashed(password)
    end_sessions(session, row)
    note(session, "password-chosen", actor=actor, login=login)
    return row


def end_sessions(session: Session, row: AccountRow) -> None:
    session.execute(delete(SessionRow).where(SessionRow.account_id == row.id))
    session.execute(delete(CodeRow).where(CodeRow.account_id == row.id))


def first_administrator(session: Session, actor: str) -> AccountRow:
    """The administrator whom the console lets in, made at the first start."""
    row = next(iter(_administrators(session)), None)
    if row is not None:
        return row
    person = Person(login=FIRST, role=Role.ADMINISTRATOR)
    known = session.scalar(select(AccountRow).where(AccountRow.login == FIRST))
    return known or add_person(session, person, actor)


def nobody_has_come_in(session: Session) -> bool:
    """Whether no administrator has chosen a password yet."""
    return all(row.password is None for row in _administrators(session))


def _administrators(session: Session) -> list[AccountRow]:
    query = select(AccountRow).where(AccountRow.role == Role.ADMINISTRATOR, AccountRow.active)
    return list(session.scalars(query.order_by(AccountRow.id)))


def _other_administrators(session: Session, row: AccountRow) -> list[AccountRow]:
    return [one for one in _administrators(session) if one.id != row.id]
