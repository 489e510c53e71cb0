"""The first tables: deliveries, heads, attempts, blocks, candidates, live pointers, replicas, checks, journal."""

from alembic import op

from vitrine.ledger.tables import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())
