"""Coming in: by login and password, or once by a code; and the session that follows.

The cookie is random and its digest is stored, so that logging out, a new password and a closed
account end it at once, and whoever reads the database cannot come in with what is there.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from provisioner.accounts import passwords
from provisioner.accounts.people import who_is
from provisioner.accounts.roles import Who
from provisioner.errors import NotAllowedError
from provisioner.store.events import note
from provisioner.store.office import AccountRow, CodeRow, SessionRow
from provisioner.store.tables import now

# A working day; people log in each morning.
SESSION_SECONDS = 12 * 3600
CODE_MINUTES = 60
# Without what looks like something else: 12 of 31 signs are 59 bits, for one hour.
_SIGNS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
_GROUPS, _IN_A_GROUP = 3, 4


def digest(secret: str) -> str:
    """What is stored of a random secret; it needs no salt, as nobody can guess it."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def new_code(session: Session, account: AccountRow, actor: str) -> str:
    """A code that lets this account in once, within CODE_MINUTES."""
    groups = ("".join(secrets.choice(_SIGNS) for _ in range(_IN_A_GROUP)) for _ in range(_GROUPS))
    code = "-".join(groups)
    ends = now() + timedelta(minutes=CODE_MINUTES)
    session.execute(delete(CodeRow).where(CodeRow.ends_at < now()))
    session.add(CodeRow(digest=digest(code), account_id=account.id, ends_at=ends))
    note(session, "code-made", actor=actor, login=account.login)
    return code


def by_code(session: Session, code: str) -> AccountRow:
    """The account that a code lets in; the code is used up. Raises NotAllowedError."""
    plain = "".join(sign for sign in code.upper() if sign in _SIGNS)
    whole = "-".join(plain[at : at + _IN_A_GROUP] for at in range(0, len(plain), _IN_A_GROUP))
    used_up = delete(CodeRow).where(CodeRow.digest == digest(whole))
    row = session.execute(used_up.returning(CodeRow.account_id, CodeRow.ends_at)).first()
    account = session.get(AccountRow, row.account_id) if row is not None else None
    if row is None or account is None or row.ends_at < now() or not account.active:
        raise NotAllowedError(
            "This code does not open anything (any more).",
            "On the station, “provisioner dashboard” prints a new one.",
        )
    note(session, "logged-in", actor=account.login, login=account.login, how="code")
    return account


def by_password(session: Session, login: str, password: str) -> AccountRow:
    """The account of a login and its password. Raises NotAllowedError, the same for both."""
    account = session.scalar(select(AccountRow).where(AccountRow.login == login.strip().lower()))
    stored = account.password if account is not None and account.active else None
    if not passwords.matches(stored, password) or account is None:
        raise NotAllowedError("Login and password do not fit.", "Mind small and capital letters.")
    return account


def open_session(session: Session, account: AccountRow) -> str:
    """A session's cookie; ended ones are swept out on the way."""
    cookie = secrets.token_urlsafe(32)
    session.execute(delete(SessionRow).where(SessionRow.ends_at < now()))
    ends = now() + timedelta(seconds=SESSION_SECONDS)
    session.add(SessionRow(digest=digest(cookie), account_id=account.id, ends_at=ends))
    return cookie


def whose_session(session: Session, cookie: str) -> Who | None:
    """Who has this session; nobody when it has ended or the account is closed."""
    if not cookie:
        return None
    row = session.get(SessionRow, digest(cookie))
    account = session.get(AccountRow, row.account_id) if row is not None else None
    if row is None or account is None or row.ends_at < now() or not account.active:
        return None
    return who_is(account)


def end_session(session: Session, cookie: str) -> None:
    session.execute(delete(SessionRow).where(SessionRow.digest == digest(cookie)))


def form_secret(cookie: str) -> str:
    """What every form of this session carries; another site cannot know it."""
    return hmac.new(cookie.encode(errors="replace"), b"form", hashlib.sha256).hexdigest()


def is_form_of(cookie: str, secret: str) -> bool:
    return bool(cookie) and hmac.compare_digest(
        secret.encode(errors="replace"), form_secret(cookie).encode()
    )
