"""One current delivery of a day: two recordings that raced could both be current."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(
        "UPDATE deliveries SET is_current = false WHERE is_current AND EXISTS (SELECT 1 FROM deliveries AS newer "
        "WHERE newer.is_current AND newer.catalog_id = deliveries.catalog_id AND newer.dt = deliveries.dt "
        "AND newer.sequence > deliveries.sequence)"
    )
    # A new database has it already: the first migration makes every table as the code declares it now.
    op.execute(
        "CREATE UNIQUE INDEX IF NOT EXISTS deliveries_one_current ON deliveries (catalog_id, dt) WHERE is_current"
    )
