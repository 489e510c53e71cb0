"""The live pointer knows what made it live, whether that was verified, and how it was pinned before."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # A new ledger has the columns from 0001, which makes the tables as they are declared now.
    op.execute(
        """
        ALTER TABLE live_pointers
            ADD COLUMN IF NOT EXISTS action VARCHAR NOT NULL DEFAULT 'release',
            ADD COLUMN IF NOT EXISTS verified_generation BIGINT NOT NULL DEFAULT 0,
            ADD COLUMN IF NOT EXISTS previous_pinned BOOLEAN NOT NULL DEFAULT false,
            ADD COLUMN IF NOT EXISTS previous_pin_reason VARCHAR NOT NULL DEFAULT ''
        """
    )
    # Until now an open staging of the live release said that it was not verified yet.
    op.execute(
        """
        UPDATE live_pointers SET
            action = coalesce((SELECT action FROM activations WHERE activations.catalog_id = live_pointers.catalog_id
                               ORDER BY sequence DESC LIMIT 1), action),
            previous_pinned = pinned,
            previous_pin_reason = pin_reason,
            verified_generation = CASE
                WHEN EXISTS (SELECT FROM stagings WHERE stagings.catalog_id = live_pointers.catalog_id
                             AND stagings.release_id = live_pointers.release_id) THEN 0
                ELSE generation END
        """
    )
