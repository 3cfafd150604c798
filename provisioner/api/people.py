"""The API of people and tokens: for administrators."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Security
from pydantic import Field

from provisioner.accounts import people, sessions, tokens
from provisioner.accounts.people import Person, PersonView
from provisioner.accounts.roles import Right, Role
from provisioner.accounts.tokens import TokenPlan, TokenView
from provisioner.api import problems
from provisioner.api.auth import TheWho, may
from provisioner.api.operator import BEARER, PREFIX, TheStation, Word
from provisioner.model.base import Model, Name

router = APIRouter(
    prefix=PREFIX,
    tags=["people"],
    dependencies=[Security(BEARER), may(Right.ACCOUNTS)],
    responses=problems.responses(
        HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY
    ),
)
_CHANGES = problems.responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)


class Code(Model):
    """What lets an account in once."""

    login: str
    code: str


class PersonChange(Model):
    """What an account may from now on."""

    role: Role
    schools: tuple[Name, ...] = Field((), max_length=200)
    active: bool = True


class NewToken(Model):
    """A token, shown this once."""

    name: str
    token: str


@router.get("/accounts", summary="Who may log in")
def list_accounts(station: TheStation) -> list[PersonView]:
    with station.database.reading() as session:
        return people.people(session)


@router.post(
    "/accounts",
    summary="A new account; the code lets its owner in to choose a password",
    status_code=HTTPStatus.CREATED,
    responses=_CHANGES,
)
def add_account(station: TheStation, who: TheWho, person: Person) -> Code:
    with station.database.transaction() as session:
        row = people.add_person(session, person, who.actor)
        return Code(login=row.login, code=sessions.new_code(session, row, who.actor))


@router.post("/accounts/first/code", summary="A code for the first administrator")
def make_first_code(station: TheStation, who: TheWho) -> Code:
    with station.database.transaction() as session:
        row = people.first_administrator(session, who.actor)
        return Code(login=row.login, code=sessions.new_code(session, row, who.actor))


@router.post("/accounts/{login}", summary="Change what an account may", responses=_CHANGES)
def change_account(
    station: TheStation, who: TheWho, login: Word, change: PersonChange
) -> PersonView:
    with station.database.transaction() as session:
        row = people.change_person(
            session, login, change.role, change.schools, change.active, who.actor
        )
        return people.view(row)


@router.post(
    "/accounts/{login}/code",
    summary="A code that lets an account in once, for who has forgotten a password",
    responses=_CHANGES,
)
def make_code(station: TheStation, who: TheWho, login: Word) -> Code:
    with station.database.transaction() as session:
        row = people.find_person(session, login)
        return Code(login=row.login, code=sessions.new_code(session, row, who.actor))


@router.get("/tokens", summary="The tokens of scripts, without the secrets")
def list_tokens(station: TheStation) -> list[TokenView]:
    with station.database.reading() as session:
        return tokens.tokens(session)


@router.post(
    "/tokens",
    summary="A new token with scopes; it is shown this once",
    status_code=HTTPStatus.CREATED,
    responses=_CHANGES,
)
def add_token(station: TheStation, who: TheWho, plan: TokenPlan) -> NewToken:
    with station.database.transaction() as session:
        return NewToken(name=plan.name, token=tokens.add_token(session, plan, who))


@router.delete("/tokens/{name}", summary="Turn a token off for good", responses=_CHANGES)
def revoke_token(station: TheStation, who: TheWho, name: Word) -> list[TokenView]:
    with station.database.transaction() as session:
        tokens.revoke_token(session, name, who.actor)
        session.flush()
        return tokens.tokens(session)
