"""The ledger's tables: everything that changes in place. Migrations under `migrations/` make them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()


def _now(name: str) -> Column:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


deliveries = Table(
    "deliveries",
    metadata,
    Column("sequence", BigInteger, Identity(), nullable=False, unique=True),
    Column("catalog_id", String, nullable=False),
    Column("dt", String, nullable=False),
    Column("delivery_id", String, nullable=False),
    Column("source", String, nullable=False),
    Column("is_current", Boolean, nullable=False),
    _now("recorded_at"),
    PrimaryKeyConstraint("catalog_id", "dt", "delivery_id"),
)
Index(
    "deliveries_one_current",  # a day has at most one current delivery, whoever writes
    deliveries.c.catalog_id,
    deliveries.c.dt,
    unique=True,
    postgresql_where=deliveries.c.is_current,
)

current_manifests = Table(
    "current_manifests",
    metadata,
    Column("catalog_id", String, nullable=False),
    Column("dt", String, nullable=False),
    Column("manifest_id", String, nullable=False),
    Column("delivery_id", String, nullable=False),
    _now("published_at"),
    PrimaryKeyConstraint("catalog_id", "dt"),
)

heads = Table(
    "heads",  # a counter for each catalog: it moves when, and only when, the set of current manifests changes
    metadata,
    Column("catalog_id", String, primary_key=True),
    Column("head_sequence", BigInteger, nullable=False),
)

committed_attempts = Table(
    "committed_attempts",
    metadata,
    Column("scope", String, nullable=False),
    Column("key", String, nullable=False),
    Column("attempt_id", String, nullable=False),
    Column("result", JSONB, nullable=False),
    _now("committed_at"),
    PrimaryKeyConstraint("scope", "key"),
)

embedding_blocks = Table(
    "embedding_blocks",
    metadata,
    Column("catalog_id", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("source_id", String, nullable=False),
    Column("row_group", Integer, nullable=False),
    Column("block_id", String, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("engine", String, nullable=False),
    Column("precision", String, nullable=False),
    _now("committed_at"),
    PrimaryKeyConstraint("catalog_id", "fingerprint", "source_id", "row_group"),
)

candidates = Table(
    "candidates",
    metadata,
    Column("catalog_id", String, nullable=False),
    Column("release_id", String, nullable=False),
    Column("head_sequence", BigInteger, nullable=False),
    Column("state", String, nullable=False),  # offered, approved, refused
    Column("detail", JSONB, nullable=False),
    _now("offered_at"),
    PrimaryKeyConstraint("catalog_id", "release_id"),
)

live_pointers = Table(
    "live_pointers",
    metadata,
    Column("catalog_id", String, primary_key=True),
    Column("release_id", String, nullable=False),
    Column("previous_release_id", String),
    Column("generation", BigInteger, nullable=False),
    Column("head_sequence", BigInteger, nullable=False),
    Column("action", String, nullable=False, server_default="release"),  # that made it live, as in `activations`
    # Equal to the generation once the tier was asked over HTTP and answered as it should.
    Column("verified_generation", BigInteger, nullable=False, server_default="0"),
    Column("pinned", Boolean, nullable=False),
    Column("pin_reason", String, nullable=False),
    # What a restoration puts back: how the pin was before the last activation.
    Column("previous_pinned", Boolean, nullable=False, server_default="false"),
    Column("previous_pin_reason", String, nullable=False, server_default=""),
    _now("activated_at"),
)

stagings = Table(
    "stagings",  # the release that every replica is asked to hold ready in its idle slot
    metadata,
    Column("catalog_id", String, primary_key=True),
    Column("release_id", String, nullable=False),
    _now("requested_at"),
)

activations = Table(
    "activations",
    metadata,
    Column("sequence", BigInteger, Identity(), primary_key=True),
    Column("catalog_id", String, nullable=False),
    Column("release_id", String, nullable=False),
    Column("previous_release_id", String),
    Column("generation", BigInteger, nullable=False),
    Column("action", String, nullable=False),  # release, promote, rollback, restore
    Column("actor", String, nullable=False),
    Column("reason", String, nullable=False),
    _now("activated_at"),
)

replicas = Table(
    "replicas",
    metadata,
    Column("replica_id", String, primary_key=True),
    Column("url", String, nullable=False),
    _now("heartbeat_at"),
)

replica_slots = Table(
    "replica_slots",
    metadata,
    Column("replica_id", String, nullable=False),
    Column("catalog_id", String, nullable=False),
    Column("slot", String, nullable=False),  # blue, green
    Column("release_id", String),
    Column("state", String, nullable=False),  # empty, loading, ready, serving, failed
    Column("detail", String, nullable=False),
    _now("updated_at"),
    PrimaryKeyConstraint("replica_id", "catalog_id", "slot"),
)

check_results = Table(
    "check_results",
    metadata,
    Column("sequence", BigInteger, Identity(), primary_key=True),
    Column("catalog_id", String, nullable=False),
    Column("check_name", String, nullable=False),
    Column("subject_id", String, nullable=False),  # a manifest, an index version or a release
    Column("value", Float),
    Column("passed", Boolean),
    Column("detail", JSONB, nullable=False),
    _now("measured_at"),
)

refused_encoders = Table(
    "refused_encoders",
    metadata,
    Column("catalog_id", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("reason", String, nullable=False),
    _now("refused_at"),
    PrimaryKeyConstraint("catalog_id", "fingerprint"),
)

promotions = Table(
    "promotions",  # one row each time the alias `champion` was seen on another version than before; the newest counts
    metadata,
    Column("sequence", BigInteger, Identity(), primary_key=True),
    Column("model_version", String, nullable=False),
    Column("fingerprint", String),  # known once the version was imported
    Column("state", String, nullable=False),  # observed, accepted, refused, superseded
    Column("reason", String, nullable=False, server_default=""),
    Column("observed_by", String, nullable=False),  # webhook, poll
    _now("observed_at"),
)

catalog_promotions = Table(
    "catalog_promotions",  # how far each catalog has come with an accepted promotion
    metadata,
    Column("sequence", BigInteger, nullable=False),
    Column("catalog_id", String, nullable=False),
    Column("state", String, nullable=False),  # building, released, gate_refused, superseded
    Column("reason", String, nullable=False, server_default=""),
    PrimaryKeyConstraint("sequence", "catalog_id"),
)

promotion_signals = Table(
    "promotion_signals",  # one row for each way of being told to look at MLflow; what was said there is not kept
    metadata,
    Column("source", String, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

journal = Table(
    "journal",  # an outbox: written in the transition's transaction, copied to the object store after it
    metadata,
    Column("sequence", BigInteger, Identity(), primary_key=True),
    Column("kind", String, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("exported", Boolean, nullable=False, server_default="false"),
    _now("written_at"),
)
