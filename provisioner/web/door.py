"""The way in and out, one's own password, and the page of people and tokens."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from provisioner.accounts import passwords, people, sessions, tokens
from provisioner.accounts.people import Person
from provisioner.accounts.roles import RIGHTS, Right, Role
from provisioner.accounts.tokens import TokenPlan
from provisioner.api.auth import LOGIN, SESSION_COOKIE, may
from provisioner.api.operator import Word, doorkeeper_from
from provisioner.api.problems import ProblemDocument, describe, describe_invalid
from provisioner.errors import NotAllowedError, ProvisionerError
from provisioner.store.events import note
from provisioner.store.office import AccountRow
from provisioner.web.forms import AnyForm, Fields, OwnForm, read_own_form
from provisioner.web.page import TheVisitor, Visitor

router = APIRouter(include_in_schema=False)
# The dependency of the whole router: no form of it can be forgotten.
forms = APIRouter(include_in_schema=False, dependencies=[Depends(read_own_form)])
_ADMINISTER = [may(Right.ACCOUNTS)]


@router.get(LOGIN)
def login(visitor: TheVisitor, next: str = "/") -> Response:
    """The way in."""
    return visitor.page("login", next=next, wrong="", wait=0)


@router.post(LOGIN)
def log_in(request: Request, visitor: TheVisitor, form: AnyForm) -> Response:
    """By login and password, or once by a code. Whoever guesses is slowed down."""
    back = form.get("next", "/")
    name, throttle = _claimed(form), doorkeeper_from(request).throttle
    address = request.client.host if request.client else ""
    wait = throttle.wait(address, name)
    if wait:
        page = visitor.page("login", HTTPStatus.TOO_MANY_REQUESTS, next=back, wrong="", wait=wait)
        page.headers["Retry-After"] = str(wait)
        return page
    try:
        cookie, account = _let_in(visitor, form)
    except NotAllowedError as error:
        throttle.failed(address, name)
        return visitor.page("login", HTTPStatus.FORBIDDEN, next=back, wrong=error.message, wait=0)
    throttle.succeeded(address, name)
    target = "/account" if account.password is None else inside(back)
    response = RedirectResponse(target, status_code=HTTPStatus.SEE_OTHER)
    _keep(request, response, cookie)
    return response


@router.get("/account")
def account(visitor: TheVisitor) -> Response:
    """One's own page: what one may do, and the password."""
    return visitor.page("account", problem=None)


@forms.post("/account/password", dependencies=[may(Right.LOOK)])
def choose_password(request: Request, visitor: TheVisitor, form: OwnForm) -> Response:
    """A new password; who has one already says it first. Other sessions end."""
    try:
        with visitor.station.database.transaction() as session:
            row = people.find_person(session, visitor.who.actor)
            old = form.get("old", "")
            if row.password is not None and not passwords.matches(row.password, old):
                raise NotAllowedError("The password so far is another one.")
            if form.get("new") != form.get("again"):
                raise NotAllowedError("The new password was not typed the same way twice.")
            people.choose_password(session, row.login, form.get("new", ""), row.login)
            cookie = sessions.open_session(session, row)
    except ProvisionerError as error:
        problem = describe(error)
        return visitor.page("account", problem.status, problem=problem)
    response = RedirectResponse("/", status_code=HTTPStatus.SEE_OTHER)
    _keep(request, response, cookie)
    return response


@router.get("/people", dependencies=_ADMINISTER)
def people_page(visitor: TheVisitor) -> Response:
    """Who may log in, and the tokens of scripts."""
    return _people(visitor)


@forms.post("/people", dependencies=_ADMINISTER)
def add_person(visitor: TheVisitor, form: OwnForm) -> Response:
    try:
        wanted = Person(
            login=form.get("login", "").strip(), name=form.get("name", "").strip(),
            role=Role(form.get("role", "")), schools=_words(form.get("schools", "")),
        )  # fmt: skip
        with visitor.station.database.transaction() as session:
            row = people.add_person(session, wanted, visitor.who.actor)
            code = sessions.new_code(session, row, visitor.who.actor)
    except (ValueError, ProvisionerError) as error:
        return _mistaken(visitor, error)
    return _people(visitor, made=(wanted.login, code))


@forms.post("/people/{login}", dependencies=_ADMINISTER)
def change_person(visitor: TheVisitor, login: Word, form: OwnForm) -> Response:
    try:
        role, schools = Role(form.get("role", "")), _words(form.get("schools", ""))
        with visitor.station.database.transaction() as session:
            active = form.get("active") == "yes"
            people.change_person(session, login, role, schools, active, visitor.who.actor)
    except (ValueError, ProvisionerError) as error:
        return _mistaken(visitor, error)
    return RedirectResponse("/people", status_code=HTTPStatus.SEE_OTHER)


@forms.post("/people/{login}/code", dependencies=_ADMINISTER)
def make_code(visitor: TheVisitor, login: Word) -> Response:
    with visitor.station.database.transaction() as session:
        row = people.find_person(session, login)
        code = sessions.new_code(session, row, visitor.who.actor)
    return _people(visitor, made=(login, code))


@forms.post("/tokens", dependencies=_ADMINISTER)
def add_token(visitor: TheVisitor, form: OwnForm) -> Response:
    try:
        scopes = [right for right in Right if form.get(f"scope-{right}")]
        plan = TokenPlan.model_validate(
            {"name": form.get("name", ""), "scopes": scopes, "days": form.get("days") or 90}
        )
        with visitor.station.database.transaction() as session:
            made = tokens.add_token(session, plan, visitor.who)
    except (ValueError, ProvisionerError) as error:
        return _mistaken(visitor, error)
    return _people(visitor, token=(plan.name, made))


@forms.post("/tokens/{name}/revoke", dependencies=_ADMINISTER)
def revoke_token(visitor: TheVisitor, name: Word) -> Response:
    with visitor.station.database.transaction() as session:
        tokens.revoke_token(session, name, visitor.who.actor)
    return RedirectResponse("/people#tokens", status_code=HTTPStatus.SEE_OTHER)


def _people(
    visitor: Visitor,
    made: tuple[str, str] | None = None,
    token: tuple[str, str] | None = None,
    problem: ProblemDocument | None = None,
) -> Response:
    with visitor.station.database.reading() as session:
        found, scripts = people.people(session), tokens.tokens(session)
    return visitor.page(
        "people", status=problem.status if problem else HTTPStatus.OK, people=found,
        tokens=scripts, roles=list(Role), rights=list(Right), rights_of=RIGHTS,
        made=made, token=token, problem=problem,
    )  # fmt: skip


def _mistaken(visitor: Visitor, error: ValueError | ProvisionerError) -> Response:
    if isinstance(error, ValidationError):
        return _people(visitor, problem=describe_invalid(error.errors()))
    if isinstance(error, ProvisionerError):
        return _people(visitor, problem=describe(error))
    return _people(visitor, problem=describe_invalid([{"loc": ("role",), "msg": str(error)}]))


def _claimed(form: Fields) -> str:
    """Whose guesses are counted together; codes are nobody's in particular."""
    return form.get("login", "").strip().lower() or "a code"


def _let_in(visitor: Visitor, form: Fields) -> tuple[str, AccountRow]:
    """Argon2 is slow on purpose: the password is checked before the database is held."""
    database = visitor.station.database
    if form.get("code"):
        with database.transaction() as session:
            row = sessions.by_code(session, form["code"])
            return sessions.open_session(session, row), row
    with database.reading() as session:
        row = sessions.by_password(session, form.get("login", ""), form.get("password", ""))
    with database.transaction() as session:
        note(session, "logged-in", actor=row.login, login=row.login, how="password")
        return sessions.open_session(session, row), row


def _keep(request: Request, response: Response, cookie: str) -> None:
    response.set_cookie(
        SESSION_COOKIE,
        cookie,
        max_age=sessions.SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def inside(address: str) -> str:
    """An address of this station; anything that could lead elsewhere becomes the first page."""
    if address.startswith("/") and not address.startswith("//") and "\\" not in address:
        return address if address.isprintable() else "/"
    return "/"
