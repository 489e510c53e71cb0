"""Moves of the alias `champion`, and how far each catalog has come with them."""

from alembic import op

from vitrine.ledger import tables

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    # A new ledger has the tables from 0001, which makes them as they are declared now.
    for table in (tables.promotions, tables.catalog_promotions, tables.promotion_signals):
        table.create(op.get_bind(), checkfirst=True)
