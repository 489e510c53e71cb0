-- Frozen: what migration 0002 did.
CREATE UNIQUE INDEX deliveries_one_current ON deliveries (catalog_id, dt) WHERE is_current;
UPDATE alembic_version SET version_num = '0002';
