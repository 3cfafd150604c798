"""Rollouts and contests' entries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rollout",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("track", sa.String(length=80), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("room", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rollout"),
        sa.UniqueConstraint("name", name="uq_rollout_name"),
    )
    op.create_index("ix_rollout_track", "rollout", ["track"])
    op.create_index("ix_rollout_state", "rollout", ["state"])
    op.create_table(
        "rollout_machine",
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("machine_id", sa.Integer(), nullable=False),
        sa.Column("school", sa.String(length=63), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("has", sa.String(length=120), nullable=False),
        sa.Column("powered_on_s", sa.Float(), nullable=False),
        sa.Column("problem", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollout.id"], name="fk_rollout_machine_rollout_id_rollout"
        ),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name="fk_rollout_machine_machine_id_machine"
        ),
        sa.PrimaryKeyConstraint("rollout_id", "machine_id", name="pk_rollout_machine"),
    )
    op.create_index("ix_rollout_machine_machine", "rollout_machine", ["machine_id"])
    op.create_index("ix_rollout_machine_state", "rollout_machine", ["rollout_id", "state"])
    op.create_table(
        "entry",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("contest", sa.String(length=63), nullable=False),
        sa.Column("school", sa.String(length=63), nullable=False),
        sa.Column("machine_id", sa.Integer(), nullable=True),
        sa.Column("asset_tag", sa.String(length=200), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=12), nullable=False),
        sa.Column("pupil", sa.JSON(), nullable=True),
        sa.Column("age_group", sa.String(length=63), nullable=False),
        sa.Column("title", sa.String(length=60), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("handed_in_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("doubt_s", sa.Float(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lateness", sa.String(length=20), nullable=False),
        sa.Column("refused", sa.String(length=40), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=True),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_entry"),
    )
    op.create_index("ix_entry_contest", "entry", ["contest"])
    op.create_index("ix_entry_code", "entry", ["code"])


def downgrade() -> None:
    op.drop_table("entry")
    op.drop_table("rollout_machine")
    op.drop_table("rollout")
