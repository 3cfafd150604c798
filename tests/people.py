"""People who have logged in, for tests; passwords are hashed cheaply here."""

from __future__ import annotations

from argon2 import PasswordHasher

from provisioner.accounts import passwords, people, sessions
from provisioner.accounts.people import Person
from provisioner.accounts.roles import Role
from provisioner.store.office import AccountRow
from provisioner.workshop.station import Station

PASSWORD = "four words in a row"
# What a real station does takes a tenth of a second and 64 MiB for each password.
passwords.HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def add(
    station: Station,
    role: Role = Role.ADMINISTRATOR,
    login: str = "",
    schools: tuple[str, ...] = (),
) -> str:
    """An account with PASSWORD; its login."""
    login = login or role.value
    with station.database.transaction() as session:
        known = session.query(AccountRow).filter_by(login=login).first()
        if known is None:
            person = Person(login=login, role=role, schools=schools)
            known = people.add_person(session, person, "test")
            known.password = passwords.hashed(PASSWORD)
    return login


def log_in(
    station: Station,
    role: Role = Role.ADMINISTRATOR,
    login: str = "",
    schools: tuple[str, ...] = (),
) -> str:
    """The cookie of somebody with this role who has logged in."""
    login = add(station, role, login, schools)
    with station.database.transaction() as session:
        return sessions.open_session(session, people.find_person(session, login))


def secret_of(cookie: str) -> dict[str, str]:
    """What every form of this session carries."""
    return {"form_secret": sessions.form_secret(cookie)}
