"""Tokens for scripts: named, with scopes, an end, and a switch to turn them off."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from provisioner.accounts.roles import Right, Who
from provisioner.accounts.sessions import digest
from provisioner.errors import NotFoundError, WrongStateError, nearest
from provisioner.model.base import Model, Name
from provisioner.store.events import note
from provisioner.store.office import TokenRow
from provisioner.store.tables import now

PREFIX = "cpt_"  # so that a scanner for secrets recognises it


class TokenPlan(Model):
    """A token as somebody asks for it."""

    name: Name
    scopes: tuple[Right, ...] = Field(min_length=1, max_length=len(Right))
    days: int = Field(90, ge=1, le=366)


class TokenView(Model):
    """A token as it is shown: never itself."""

    name: str
    scopes: tuple[Right, ...]
    made_by: str
    ends_at: datetime
    revoked: bool


def tokens(session: Session) -> list[TokenView]:
    return [_view(row) for row in session.scalars(select(TokenRow).order_by(TokenRow.name))]


def add_token(session: Session, plan: TokenPlan, who: Who) -> str:
    """The new token, shown this once. Nobody gives away more than they may themselves."""
    more = [scope for scope in plan.scopes if not who.may(scope)]
    if more:
        raise WrongStateError(f"You may not give away: {', '.join(more)}.", "Leave it out.")
    if session.scalar(select(TokenRow).where(TokenRow.name == plan.name)):
        raise WrongStateError(f"There is a token “{plan.name}”.", "Choose another name.")
    token = PREFIX + secrets.token_urlsafe(32)
    session.add(
        TokenRow(
            name=plan.name, digest=digest(token), made_by=who.actor,
            scopes=sorted({Right.LOOK.value, *plan.scopes}),
            ends_at=now() + timedelta(days=plan.days),
        )
    )  # fmt: skip
    scopes = ", ".join(plan.scopes)
    note(session, "token-made", actor=who.actor, name=plan.name, scopes=scopes)
    return token


def revoke_token(session: Session, name: str, actor: str) -> None:
    """Turn it off for good. Raises NotFoundError."""
    row = session.scalar(select(TokenRow).where(TokenRow.name == name))
    if row is None:
        names = session.scalars(select(TokenRow.name)).all()
        raise NotFoundError(f"There is no token “{name}”.", nearest(name, names))
    row.revoked = True
    note(session, "token-revoked", actor=actor, name=name)


def whose_token(session: Session, token: str) -> Who | None:
    if not token.startswith(PREFIX):
        return None
    row = session.scalar(select(TokenRow).where(TokenRow.digest == digest(token)))
    if row is None or row.revoked or row.ends_at < now():
        return None
    return Who(actor=f"api:{row.name}", rights=frozenset(Right(scope) for scope in row.scopes))


def _view(row: TokenRow) -> TokenView:
    return TokenView(
        name=row.name, scopes=tuple(Right(scope) for scope in row.scopes), made_by=row.made_by,
        ends_at=row.ends_at, revoked=row.revoked,
    )  # fmt: skip
