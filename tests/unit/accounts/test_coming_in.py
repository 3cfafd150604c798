"""Who comes in, for how long, and what ends it; tokens; slowing down who guesses."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from provisioner.accounts import passwords, people, sessions, tokens
from provisioner.accounts.people import Person
from provisioner.accounts.roles import Right, Role, Who
from provisioner.accounts.throttle import BY_ADDRESS, BY_BOTH, BY_LOGIN, WINDOW_S, Throttle
from provisioner.accounts.tokens import TokenPlan
from provisioner.errors import NotAllowedError, NotFoundError, WrongStateError
from provisioner.store.office import CodeRow, SessionRow, TokenRow
from provisioner.store.tables import EventRow, now
from provisioner.workshop.station import Station
from tests import people as somebody


def test_passwords_are_kept_as_argon2id() -> None:
    assert PasswordHasher().hash("x").startswith("$argon2id$")  # what a station uses
    stored = passwords.hashed(somebody.PASSWORD)
    assert stored.startswith("$argon2id$") and somebody.PASSWORD not in stored
    assert passwords.matches(stored, somebody.PASSWORD)
    for wrong in ("", somebody.PASSWORD + "x", somebody.PASSWORD.upper()):
        assert not passwords.matches(stored, wrong)
    assert not passwords.matches(None, "nobody has this")
    assert not passwords.matches("rubbish", somebody.PASSWORD)


@pytest.mark.parametrize("password", ["", "short", "aaaaaaaaaaaa", "x" * 201])
def test_bad_passwords_are_not_taken(password: str) -> None:
    with pytest.raises(WrongStateError):
        passwords.checked(password)


def test_a_session_ends_by_time_by_logging_out_and_by_a_closed_account(station: Station) -> None:
    somebody.log_in(station)
    for end in ("time", "out", "closed", "password"):
        cookie = somebody.log_in(station, Role.VOLUNTEER, login=end)
        with station.database.transaction() as session:
            who = sessions.whose_session(session, cookie)
            assert who is not None and who.actor == end and not who.may(Right.ORDER)
            if end == "time":
                session.get_one(SessionRow, sessions.digest(cookie)).ends_at = now()
            elif end == "out":
                sessions.end_session(session, cookie)
            elif end == "closed":
                people.change_person(session, end, Role.VOLUNTEER, (), False, "test")
            else:
                people.choose_password(session, end, "another four words", "test")
        with station.database.reading() as session:
            assert sessions.whose_session(session, cookie) is None


@pytest.mark.parametrize("cookie", ["", ".", "x" * 43, "\udcff"])
def test_made_up_sessions_open_nothing(station: Station, cookie: str) -> None:
    somebody.log_in(station)
    with station.database.reading() as session:
        assert sessions.whose_session(session, cookie) is None
    assert not sessions.is_form_of(cookie, "")


def test_two_sessions_have_different_form_secrets() -> None:
    assert sessions.is_form_of("one", sessions.form_secret("one"))
    assert not sessions.is_form_of("one", sessions.form_secret("other"))


def test_a_code_lets_in_once_and_for_an_hour(station: Station) -> None:
    with station.database.transaction() as session:
        row = people.first_administrator(session, "test")
        assert (row.login, row.role) == ("admin", "administrator")
        assert people.first_administrator(session, "test") is row
        code, late = (sessions.new_code(session, row, "test") for _ in range(2))
        session.get_one(CodeRow, sessions.digest(late)).ends_at = now() - timedelta(seconds=1)
        typed = code.lower().replace("-", " ")
        assert sessions.by_code(session, typed) is row
        for used in (code, late, "", "AAAA-AAAA-AAAA"):
            with pytest.raises(NotAllowedError):
                sessions.by_code(session, used)
        assert people.nobody_has_come_in(session)


def test_secrets_are_neither_in_the_database_nor_in_the_journal(station: Station) -> None:
    cookie = somebody.log_in(station)
    with station.database.transaction() as session:
        code = sessions.new_code(session, people.find_person(session, "administrator"), "test")
        plan = TokenPlan(name="t", scopes=(Right.LOOK,))
        token = tokens.add_token(session, plan, Who("x", frozenset(Right)))
        events = str([(row.kind, row.data) for row in session.query(EventRow)])
    content = Path(station.database.engine.url.database or "")
    kept = content.read_bytes() + content.with_name(content.name + "-wal").read_bytes()
    for secret in (cookie, code, token, somebody.PASSWORD):
        assert secret.encode() not in kept
        assert secret not in events


def test_the_last_administrator_stays(station: Station) -> None:
    somebody.add(station)
    with station.database.transaction() as session:
        for role, active in ((Role.OPERATOR, True), (Role.ADMINISTRATOR, False)):
            with pytest.raises(WrongStateError):
                people.change_person(session, "administrator", role, (), active, "test")
        people.add_person(session, Person(login="next", role=Role.ADMINISTRATOR), "test")
        people.change_person(session, "administrator", Role.OPERATOR, (), True, "test")
        with pytest.raises(WrongStateError):
            people.add_person(session, Person(login="next"), "test")
        with pytest.raises(NotFoundError, match="next"):
            people.find_person(session, "nxt")


def test_tokens_have_scopes_an_end_and_a_switch(station: Station) -> None:
    maker = Who("li", frozenset({Right.LOOK, Right.WORK}))
    with station.database.transaction() as session:
        with pytest.raises(WrongStateError, match="accounts"):
            tokens.add_token(session, TokenPlan(name="a", scopes=(Right.ACCOUNTS,)), maker)
        token = tokens.add_token(session, TokenPlan(name="a", scopes=(Right.WORK,)), maker)
        with pytest.raises(WrongStateError):
            tokens.add_token(session, TokenPlan(name="a", scopes=(Right.LOOK,)), maker)
        who = tokens.whose_token(session, token)
        assert who is not None and who.actor == "api:a"
        assert who.rights == {Right.LOOK, Right.WORK}
        row = session.query(TokenRow).one()
        row.ends_at = now() - timedelta(seconds=1)
        assert tokens.whose_token(session, token) is None
        row.ends_at = now() + timedelta(days=1)
        assert tokens.whose_token(session, token)
        tokens.revoke_token(session, "a", "li")
        assert tokens.whose_token(session, token) is None
        assert [view.revoked for view in tokens.tokens(session)] == [True]


def test_whoever_guesses_waits() -> None:
    time = 0.0
    throttle = Throttle(clock=lambda: time)
    for _ in range(BY_BOTH):
        assert throttle.wait("a", "li") == 0
        throttle.failed("a", "li")
    assert 0 < throttle.wait("a", "li") <= WINDOW_S + 1
    assert throttle.wait("a", "wang") == throttle.wait("b", "li") == 0
    time = WINDOW_S + 1.0
    assert throttle.wait("a", "li") == 0


def test_many_logins_from_one_computer_and_one_login_from_many() -> None:
    throttle = Throttle(clock=lambda: 0.0)
    for number in range(BY_ADDRESS):
        throttle.failed("a", f"l{number}")
    assert throttle.wait("a", "new") and not throttle.wait("b", "new")
    for number in range(BY_LOGIN):
        throttle.failed(f"c{number}", "li")
    assert throttle.wait("new", "li")
    throttle.succeeded("d", "li")
    assert throttle.wait("new", "li")
