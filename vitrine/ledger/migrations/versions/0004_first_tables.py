"""The first tables, frozen: every ledger begins here, and older ones are brought to it (`migrations/older.py`).

Nothing here follows `vitrine.ledger.tables`: a later change is a migration of its own.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = None


def upgrade() -> None:
    _create_partitions()
    _create_attempts()
    _create_releases()
    _create_replicas()
    _create_promotions()
    op.create_table(
        "journal",
        _sequence(),
        _text("kind"),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("exported", sa.Boolean, nullable=False, server_default="false"),
        _now("written_at"),
    )


def _create_partitions() -> None:
    op.create_table(
        "deliveries",
        sa.Column("sequence", sa.BigInteger, sa.Identity(), nullable=False, unique=True),
        _text("catalog_id"),
        _text("dt"),
        _text("delivery_id"),
        _text("source"),
        sa.Column("is_current", sa.Boolean, nullable=False),
        _now("recorded_at"),
        sa.PrimaryKeyConstraint("catalog_id", "dt", "delivery_id"),
    )
    op.create_index(
        "deliveries_one_current",
        "deliveries",
        ["catalog_id", "dt"],
        unique=True,
        postgresql_where=sa.text("is_current"),
    )
    op.create_table(
        "current_manifests",
        _text("catalog_id"),
        _text("dt"),
        _text("manifest_id"),
        _text("delivery_id"),
        _now("published_at"),
        sa.PrimaryKeyConstraint("catalog_id", "dt"),
    )
    op.create_table("heads", _text("catalog_id", primary_key=True), _number("head_sequence"))


def _create_attempts() -> None:
    op.create_table(
        "committed_attempts",
        _text("scope"),
        _text("key"),
        _text("attempt_id"),
        sa.Column("result", JSONB, nullable=False),
        _now("committed_at"),
        sa.PrimaryKeyConstraint("scope", "key"),
    )
    op.create_table(
        "embedding_blocks",
        _text("catalog_id"),
        _text("fingerprint"),
        _text("source_id"),
        sa.Column("row_group", sa.Integer, nullable=False),
        _text("block_id"),
        sa.Column("rows", sa.Integer, nullable=False),
        _text("engine"),
        _text("precision"),
        _now("committed_at"),
        sa.PrimaryKeyConstraint("catalog_id", "fingerprint", "source_id", "row_group"),
    )


def _create_releases() -> None:
    op.create_table(
        "candidates",
        _text("catalog_id"),
        _text("release_id"),
        _number("head_sequence"),
        _text("state"),
        sa.Column("detail", JSONB, nullable=False),
        _now("offered_at"),
        sa.PrimaryKeyConstraint("catalog_id", "release_id"),
    )
    op.create_table(
        "live_pointers",
        _text("catalog_id", primary_key=True),
        _text("release_id"),
        sa.Column("previous_release_id", sa.String),
        _number("generation"),
        _number("head_sequence"),
        _text("action", server_default="release"),
        _number("verified_generation", server_default="0"),
        sa.Column("pinned", sa.Boolean, nullable=False),
        _text("pin_reason"),
        sa.Column("previous_pinned", sa.Boolean, nullable=False, server_default="false"),
        _text("previous_pin_reason", server_default=""),
        _now("activated_at"),
    )
    op.create_table("stagings", _text("catalog_id", primary_key=True), _text("release_id"), _now("requested_at"))
    op.create_table(
        "activations",
        _sequence(),
        _text("catalog_id"),
        _text("release_id"),
        sa.Column("previous_release_id", sa.String),
        _number("generation"),
        _text("action"),
        _text("actor"),
        _text("reason"),
        _now("activated_at"),
    )


def _create_replicas() -> None:
    op.create_table("replicas", _text("replica_id", primary_key=True), _text("url"), _now("heartbeat_at"))
    op.create_table(
        "replica_slots",
        _text("replica_id"),
        _text("catalog_id"),
        _text("slot"),
        sa.Column("release_id", sa.String),
        _text("state"),
        _text("detail"),
        _now("updated_at"),
        sa.PrimaryKeyConstraint("replica_id", "catalog_id", "slot"),
    )
    op.create_table(
        "check_results",
        _sequence(),
        _text("catalog_id"),
        _text("check_name"),
        _text("subject_id"),
        sa.Column("value", sa.Float),
        sa.Column("passed", sa.Boolean),
        sa.Column("detail", JSONB, nullable=False),
        _now("measured_at"),
    )


def _create_promotions() -> None:
    op.create_table(
        "refused_encoders",
        _text("catalog_id"),
        _text("fingerprint"),
        _text("reason"),
        _now("refused_at"),
        sa.PrimaryKeyConstraint("catalog_id", "fingerprint"),
    )
    op.create_table(
        "promotions",
        _sequence(),
        _text("model_version"),
        sa.Column("fingerprint", sa.String),
        _text("state"),
        _text("reason", server_default=""),
        _text("observed_by"),
        _now("observed_at"),
    )
    op.create_table(
        "catalog_promotions",
        _number("sequence"),
        _text("catalog_id"),
        _text("state"),
        _text("reason", server_default=""),
        sa.PrimaryKeyConstraint("sequence", "catalog_id"),
    )
    op.create_table("promotion_signals", _text("source", primary_key=True), _number("count"))


def _text(name: str, *, primary_key: bool = False, server_default: str | None = None) -> sa.Column:
    return sa.Column(name, sa.String, primary_key=primary_key, nullable=False, server_default=server_default)


def _number(name: str, *, server_default: str | None = None) -> sa.Column:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=server_default)


def _sequence() -> sa.Column:
    return sa.Column("sequence", sa.BigInteger, sa.Identity(), primary_key=True, nullable=False)


def _now(name: str) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())
