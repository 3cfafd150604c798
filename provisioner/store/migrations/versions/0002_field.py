"""Orders for machines in their schools, and what these say of themselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "field_order",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("machine_id", sa.Integer(), nullable=False),
        sa.Column("work", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name="fk_field_order_machine_id_machine"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_field_order_run_id_run"),
        sa.PrimaryKeyConstraint("id", name="pk_field_order"),
    )
    op.create_index("ix_field_order_machine_id", "field_order", ["machine_id"])
    op.create_index("ix_field_order_run_id", "field_order", ["run_id"])
    op.create_table(
        "machine_health",
        sa.Column("machine_id", sa.Integer(), nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name="fk_machine_health_machine_id_machine"
        ),
        sa.PrimaryKeyConstraint("machine_id", name="pk_machine_health"),
    )
