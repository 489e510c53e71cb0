-- Frozen: what migration 0003 did.
ALTER TABLE live_pointers
    ADD COLUMN action VARCHAR NOT NULL DEFAULT 'release',
    ADD COLUMN verified_generation BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN previous_pinned BOOLEAN NOT NULL DEFAULT false,
    ADD COLUMN previous_pin_reason VARCHAR NOT NULL DEFAULT '';
UPDATE live_pointers SET action = 'promote', previous_pinned = pinned, previous_pin_reason = pin_reason,
    verified_generation = 1;
UPDATE alembic_version SET version_num = '0003';
