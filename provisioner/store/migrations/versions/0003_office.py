"""The office: accounts, the bench, leases, donors, declarations, releases' standing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _people()
    _giving()
    op.create_table(
        "bench",
        _key("machine_id"),
        sa.Column("place", sa.Integer(), nullable=False),
        *_refers("bench", "machine_id", "machine"),
        sa.PrimaryKeyConstraint("machine_id", name="pk_bench"),
    )
    op.create_table(
        "preference",
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_preference"),
    )
    op.create_table(
        "lease",
        sa.Column("school", sa.String(63), nullable=False),
        sa.Column("begins", sa.Date(), nullable=False),
        sa.Column("ends", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("school", name="pk_lease"),
    )
    op.create_table(
        "release_standing",
        sa.Column("release", sa.String(80), nullable=False),
        sa.Column("standing", sa.String(20), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("release", name="pk_release_standing"),
    )


def _people() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("login", sa.String(31), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("password", sa.String(200), nullable=True),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("schools", sa.JSON(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_account"),
        sa.UniqueConstraint("login", name="uq_account_login"),
    )
    for table in ("login_session", "login_code"):
        op.create_table(
            table,
            sa.Column("digest", sa.String(64), nullable=False),
            _key("account_id"),
            sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
            *_refers(table, "account_id", "account"),
            sa.PrimaryKeyConstraint("digest", name=f"pk_{table}"),
        )
        op.create_index(f"ix_{table}_account_id", table, ["account_id"])
    op.create_table(
        "api_token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("made_by", sa.String(80), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_api_token"),
        sa.UniqueConstraint("name", name="uq_api_token_name"),
        sa.UniqueConstraint("digest", name="uq_api_token_digest"),
    )


def _giving() -> None:
    op.create_table(
        "donor",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("contact", sa.String(200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_donor"),
        sa.UniqueConstraint("name", name="uq_donor_name"),
    )
    op.create_table(
        "gift",
        _key("machine_id"),
        _key("donor_id"),
        *_refers("gift", "machine_id", "machine"),
        *_refers("gift", "donor_id", "donor"),
        sa.PrimaryKeyConstraint("machine_id", name="pk_gift"),
    )
    op.create_index("ix_gift_donor_id", "gift", ["donor_id"])
    op.create_table(
        "recycling_receipt",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("number", sa.String(80), nullable=False),
        sa.Column("factory", sa.String(200), nullable=False),
        sa.Column("donor_id", sa.Integer(), nullable=True),
        sa.Column("kilograms", sa.Float(), nullable=False),
        sa.Column("weighed_on", sa.Date(), nullable=False),
        sa.Column("noted_by", sa.String(80), nullable=False),
        *_refers("recycling_receipt", "donor_id", "donor"),
        sa.PrimaryKeyConstraint("id", name="pk_recycling_receipt"),
    )
    op.create_index("ix_recycling_receipt_donor_id", "recycling_receipt", ["donor_id"])
    op.create_table(
        "declaration",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("school", sa.String(63), nullable=False),
        sa.Column("school_year", sa.String(20), nullable=False),
        sa.Column("pupils", sa.Integer(), nullable=False),
        sa.Column("declared_by", sa.String(200), nullable=False),
        sa.Column("declared_on", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_declaration"),
    )
    op.create_index("ix_declaration_school", "declaration", ["school"])


def _key(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _refers(table: str, column: str, other: str) -> tuple[sa.ForeignKeyConstraint, ...]:
    name = f"fk_{table}_{column}_{other}"
    # A newcomer that turns out to be a known machine loses its own row (workshop.recognition).
    gone = "CASCADE" if other == "machine" else None
    return (sa.ForeignKeyConstraint([column], [f"{other}.id"], name=name, ondelete=gone),)
