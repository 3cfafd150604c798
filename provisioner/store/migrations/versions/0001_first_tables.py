"""First tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("school", sa.String(length=63), nullable=False),
        sa.Column("release", sa.String(length=80), nullable=False),
        sa.Column("policy", sa.JSON(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("open_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_batch"),
        sa.UniqueConstraint("name", name="uq_batch_name"),
    )
    counter = op.create_table(
        "counter",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counter"),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("machine_id", sa.Integer(), nullable=True),
        sa.Column("batch_id", sa.Integer(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
    )
    op.create_index("ix_event_at", "event", ["at"])
    op.create_index("ix_event_batch_id", "event", ["batch_id"])
    op.create_index("ix_event_kind", "event", ["kind"])
    op.create_index("ix_event_machine_id", "event", ["machine_id"])

    op.create_table(
        "machine",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("asset_tag", sa.String(length=40), nullable=True),
        sa.Column("milestone", sa.String(length=20), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=True),
        sa.Column("seat", sa.Integer(), nullable=True),
        sa.Column("hardware", sa.JSON(), nullable=False),
        sa.Column("boot", sa.JSON(), nullable=False),
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("target", sa.JSON(), nullable=True),
        sa.Column("installed_key", sa.String(length=64), nullable=True),
        sa.Column("ssh_host_keys", sa.JSON(), nullable=False),
        sa.Column("release", sa.String(length=80), nullable=False),
        sa.Column("needs_hand", sa.JSON(), nullable=True),
        sa.Column("live_starts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name="fk_machine_batch_id_batch"),
        sa.PrimaryKeyConstraint("id", name="pk_machine"),
        sa.UniqueConstraint("asset_tag", name="uq_machine_asset_tag"),
        sa.UniqueConstraint("installed_key", name="uq_machine_installed_key"),
    )
    op.create_index("ix_machine_batch_id", "machine", ["batch_id"])

    op.create_table(
        "machine_key",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("machine_id", sa.Integer(), nullable=False),
        sa.Column("surroundings", sa.String(length=20), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("retired", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name="fk_machine_key_machine_id_machine"
        ),
        sa.PrimaryKeyConstraint("key", name="pk_machine_key"),
    )
    op.create_index("ix_machine_key_machine_id", "machine_key", ["machine_id"])

    op.create_table(
        "machine_mac",
        sa.Column("mac", sa.String(length=17), nullable=False),
        sa.Column("machine_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name="fk_machine_mac_machine_id_machine"
        ),
        sa.PrimaryKeyConstraint("mac", name="pk_machine_mac"),
    )
    op.create_index("ix_machine_mac_machine_id", "machine_mac", ["machine_id"])

    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("machine_id", sa.Integer(), nullable=False),
        sa.Column("verb", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("order_id", sa.String(length=32), nullable=True),
        sa.Column("sealed_order", sa.String(), nullable=True),
        sa.Column("order_key", sa.String(length=64), nullable=True),
        sa.Column("evidence", sa.JSON(), nullable=True),
        sa.Column("problem", sa.JSON(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["machine_id"], ["machine.id"], name="fk_run_machine_id_machine"),
        sa.PrimaryKeyConstraint("id", name="pk_run"),
        sa.UniqueConstraint("order_id", name="uq_run_order_id"),
    )
    op.create_index("ix_run_machine_id", "run", ["machine_id"])
    op.create_index("ix_run_machine_state", "run", ["machine_id", "state"])
    op.bulk_insert(counter, [{"name": "asset-tag", "value": 0}])
    _forbid_changes_to_events()


def _forbid_changes_to_events() -> None:
    """The journal is append-only, whoever writes: the database itself refuses anything else."""
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER event_no_{action.lower()} BEFORE {action} ON event "
                "BEGIN SELECT RAISE(ABORT, 'events are never changed'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION event_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'events are never changed'; END $$"
    )
    op.execute(
        "CREATE TRIGGER event_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON event "
        "FOR EACH STATEMENT EXECUTE FUNCTION event_is_append_only()"
    )


def downgrade() -> None:
    for table in ("run", "machine_mac", "machine_key", "machine", "event", "counter", "batch"):
        op.drop_table(table)
