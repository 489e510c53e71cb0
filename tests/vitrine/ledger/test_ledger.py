"""The ledger: heads move only when content does, one attempt commits, the live pointer is compare-and-set."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import insert

from tests.conftest import new_database
from vitrine.contracts.datasets import EmbeddingBlock
from vitrine.errors import LedgerError, StaleCandidateError, StaleDeliveryError, StaleGenerationError, StaleHeadError
from vitrine.ledger import Ledger, tables
from vitrine.storage import ObjectStore


def test_publishing_the_same_manifest_again_leaves_the_head_where_it_was(ledger: Ledger, catalog_id: str) -> None:
    publish = {"catalog_id": catalog_id, "dt": "2026-11-01", "manifest_id": "m-1", "delivery_id": "d-1"}
    ledger.partitions.record_delivery(catalog_id=catalog_id, dt="2026-11-01", delivery_id="d-1", source="s")

    first = ledger.partitions.publish_manifest(**publish)
    again = ledger.partitions.publish_manifest(**publish)

    assert (first, again) == (1, 1)
    assert ledger.partitions.head(catalog_id).manifests == {"2026-11-01": "m-1"}


def test_a_manifest_that_was_judged_by_another_head_is_not_published(ledger: Ledger, catalog_id: str) -> None:
    for dt in ("2026-11-01", "2026-11-02"):
        ledger.partitions.record_delivery(catalog_id=catalog_id, dt=dt, delivery_id="d-1", source="s")
    first = {"catalog_id": catalog_id, "dt": "2026-11-01", "manifest_id": "m-1", "delivery_id": "d-1"}
    second = {**first, "dt": "2026-11-02", "manifest_id": "m-2"}

    judged_by = ledger.partitions.head(catalog_id).head_sequence
    ledger.partitions.publish_manifest(**first, judged_by=judged_by)
    with pytest.raises(StaleHeadError, match=r"m-2 was judged by head 0, the head is 1 by now.*run it again"):
        ledger.partitions.publish_manifest(**second, judged_by=judged_by)

    assert ledger.partitions.publish_manifest(**first, judged_by=judged_by) == 1  # it is there already
    assert ledger.partitions.publish_manifest(**second, judged_by=1) == 2


def test_an_old_run_that_is_cleared_does_not_bring_an_older_delivery_back(ledger: Ledger, catalog_id: str) -> None:
    day = {"catalog_id": catalog_id, "dt": "2026-11-01"}
    for number in (1, 2):
        ledger.partitions.record_delivery(**day, delivery_id=f"d-{number}", source="s")
    head_sequence = ledger.partitions.publish_manifest(**day, manifest_id="m-2", delivery_id="d-2")

    with pytest.raises(StaleDeliveryError, match=r"m-1 is of delivery d-1.* current delivery is d-2.*ingest the day"):
        ledger.partitions.publish_manifest(**day, manifest_id="m-1", delivery_id="d-1")

    head = ledger.partitions.head(catalog_id)
    assert (head.head_sequence, head.manifests) == (head_sequence, {"2026-11-01": "m-2"})


def test_blocks_and_their_images_are_counted_by_catalog_and_encoder(ledger: Ledger, catalog_id: str) -> None:
    other = f"{catalog_id}-2"
    committed = [(catalog_id, "enc-a"), (catalog_id, "enc-a"), (catalog_id, "enc-b"), (other, "enc-a")]
    for row_group, (catalog, fingerprint) in enumerate(committed):
        block = _block(row_group, rows=100 + row_group)
        ledger.blocks.commit(catalog_id=catalog, fingerprint=fingerprint, block=block)

    counts = ledger.blocks.counts(catalog_id=catalog_id, fingerprint="enc-a")
    none = ledger.blocks.counts(catalog_id=catalog_id, fingerprint="enc-c")

    assert (counts.blocks, counts.images) == (2, 201)
    assert (none.blocks, none.images) == (0, 0)


def test_of_deliveries_that_are_recorded_at_once_one_is_current(ledger: Ledger, catalog_id: str) -> None:
    day = {"catalog_id": catalog_id, "dt": "2026-11-01"}

    with ThreadPoolExecutor(8) as pool:
        names = [f"d-{number}" for number in range(8)]
        recorded = list(
            pool.map(lambda name: ledger.partitions.record_delivery(**day, delivery_id=name, source="s"), names)
        )

    assert recorded == [True] * 8
    assert ledger.partitions.current_delivery(**day).delivery_id in names


def test_two_current_deliveries_of_a_day_are_refused_by_the_database(ledger: Ledger, catalog_id: str) -> None:
    row = {"catalog_id": catalog_id, "dt": "2026-11-01", "source": "s", "is_current": True}

    with pytest.raises(LedgerError, match="deliveries_one_current"), ledger.database.transaction() as connection:
        connection.execute(insert(tables.deliveries), [row | {"delivery_id": "d-1"}, row | {"delivery_id": "d-2"}])


def test_migrating_keeps_the_later_of_two_current_deliveries(postgres_uri: str) -> None:
    ledger = Ledger(new_database(postgres_uri))
    ledger.migrate()
    row = {"catalog_id": "shop", "dt": "2026-11-01", "source": "s", "is_current": True}
    with ledger.database.transaction() as connection:
        connection.exec_driver_sql("DROP INDEX deliveries_one_current")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
        for name in ("d-1", "d-2"):
            connection.execute(insert(tables.deliveries).values(**row, delivery_id=name))

    ledger.migrate()

    assert ledger.partitions.current_delivery(catalog_id="shop", dt="2026-11-01").delivery_id == "d-2"
    ledger.close()


def test_of_many_racing_attempts_exactly_one_is_committed(ledger: Ledger, catalog_id: str) -> None:
    winners = []

    def attempt(number: int) -> None:
        standing = ledger.attempts.commit(
            scope="race", key=catalog_id, attempt_id=f"a{number}", result={"number": number}
        )
        winners.append(standing.attempt_id)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(winners) == 6
    assert len(set(winners)) == 1


def test_an_older_candidate_never_moves_the_live_release_back(ledger: Ledger, catalog_id: str) -> None:
    _activate(ledger, catalog_id, release="r-new", head=5, generation=0)

    with pytest.raises(StaleCandidateError, match="head 4"):
        _activate(ledger, catalog_id, release="r-old", head=4, generation=1)

    assert ledger.releases.live(catalog_id).release_id == "r-new"


def test_of_two_activations_from_one_generation_the_second_is_refused(ledger: Ledger, catalog_id: str) -> None:
    _activate(ledger, catalog_id, release="r-1", head=1, generation=0)
    _activate(ledger, catalog_id, release="r-2", head=2, generation=1)

    with pytest.raises(StaleGenerationError, match="found 2"):
        _activate(ledger, catalog_id, release="r-3", head=3, generation=1)


def test_a_rollback_pins_and_a_promotion_unpins(ledger: Ledger, catalog_id: str) -> None:
    _activate(ledger, catalog_id, release="r-1", head=1, generation=0)
    _activate(ledger, catalog_id, release="r-2", head=2, generation=1)

    _activate(ledger, catalog_id, release="r-1", head=1, generation=2, action="rollback")
    with pytest.raises(LedgerError, match="pinned"):
        _activate(ledger, catalog_id, release="r-3", head=3, generation=3)
    _activate(ledger, catalog_id, release="r-3", head=3, generation=3, action="promote")

    assert ledger.releases.live(catalog_id).pinned is False
    assert [entry["action"] for entry in ledger.releases.history(catalog_id)] == [
        "promote",
        "rollback",
        "release",
        "release",
    ]


def test_promoting_what_is_older_than_the_head_pins_and_says_why(ledger: Ledger, catalog_id: str) -> None:
    _activate(ledger, catalog_id, release="r-1", head=1, generation=0)
    _move_head(ledger, catalog_id, days=2)

    _activate(ledger, catalog_id, release="r-1b", head=1, generation=1, action="promote")

    live = ledger.releases.live(catalog_id)
    assert live.pinned
    assert live.pin_reason == "promoted by hand though it was built at head 1, and the head is 2"
    with pytest.raises(LedgerError, match="pinned"):  # the build that was running
        _activate(ledger, catalog_id, release="r-2", head=2, generation=2)


def test_promoting_what_a_rebuilt_ledger_never_saw_offered_pins(ledger: Ledger, catalog_id: str) -> None:
    ledger.releases.offer(catalog_id=catalog_id, release_id="r-new", head_sequence=1)
    _activate(ledger, catalog_id, release="r-new", head=1, generation=0, action="promote")
    is_newest_pinned = ledger.releases.live(catalog_id).pinned

    _activate(ledger, catalog_id, release="r-old", head=1, generation=1, action="promote")

    live = ledger.releases.live(catalog_id)
    assert (is_newest_pinned, live.pinned) == (False, True)
    assert live.pin_reason == "promoted by hand though r-new was built later from the same head 1"


def test_promoting_what_is_as_new_as_the_head_unpins(ledger: Ledger, catalog_id: str) -> None:
    _activate(ledger, catalog_id, release="r-1", head=1, generation=0)
    _move_head(ledger, catalog_id, days=2)
    ledger.releases.set_pin(catalog_id=catalog_id, pinned=True, actor="test", reason="sale day")

    _activate(ledger, catalog_id, release="r-2", head=2, generation=1, action="promote")

    assert not ledger.releases.live(catalog_id).pinned


@pytest.mark.parametrize(
    ("promoted", "refused", "pinned"), [("r-1", None, True), ("r-2", None, False), ("r-1", "r-2", False)]
)
def test_of_releases_of_one_head_the_one_that_was_offered_last_is_the_newest(
    ledger: Ledger, catalog_id: str, promoted: str, refused: str | None, pinned: bool
) -> None:
    for release_id in ("r-2", "r-1", "r-2"):  # an encoder was tried, taken back and promoted again
        ledger.releases.offer(catalog_id=catalog_id, release_id=release_id, head_sequence=3)
    if refused:
        ledger.releases.judge(catalog_id=catalog_id, release_id=refused, approved=False, detail={})

    _activate(ledger, catalog_id, release=promoted, head=3, generation=0, action="promote")

    assert ledger.releases.live(catalog_id).pinned is pinned


def test_promoting_under_another_encoder_than_the_one_that_is_being_built_pins(ledger: Ledger, catalog_id: str) -> None:
    promotion = ledger.promotions.observe(model_version=f"of-{catalog_id}", observed_by="poll")
    ledger.promotions.accept(promotion.sequence, fingerprint="f-new", catalog_ids=[catalog_id])

    _activate(ledger, catalog_id, release="r-1", head=3, generation=0, action="promote", fingerprint="f-old")
    pin_reason = ledger.releases.live(catalog_id).pin_reason
    _activate(ledger, catalog_id, release="r-2", head=3, generation=1, action="promote", fingerprint="f-new")

    assert pin_reason == "promoted by hand though the catalog is being built under encoder f-new"
    assert not ledger.releases.live(catalog_id).pinned


def test_of_a_promotion_and_a_build_that_ends_meanwhile_one_wins_and_the_promotion_lasts(
    ledger: Ledger, catalog_id: str
) -> None:
    _activate(ledger, catalog_id, release="r-0", head=0, generation=0)
    for number in range(1, 9):
        generation, old = (
            ledger.releases.live(catalog_id).generation,
            _move_head(ledger, catalog_id, days=1, mark=number) - 1,
        )
        start = threading.Barrier(2)
        build = partial(_race, start, ledger, catalog_id, f"built-{number}", old + 1, generation, "release")
        promote = partial(_race, start, ledger, catalog_id, f"old-{number}", old, generation, "promote")

        with ThreadPoolExecutor(2) as pool:
            built, promoted = (done.result() for done in [pool.submit(build), pool.submit(promote)])

        after = ledger.releases.live(catalog_id)
        assert built != promoted
        assert (after.release_id, after.pinned) == ((f"old-{number}", True) if promoted else (f"built-{number}", False))
        if promoted:
            with pytest.raises(LedgerError, match="pinned"):  # the build tries again
                _activate(ledger, catalog_id, release=f"built-{number}", head=old + 1, generation=after.generation)
            ledger.releases.set_pin(catalog_id=catalog_id, pinned=False, actor="test", reason="")


def test_a_restoration_pins_as_it_was_before_what_it_takes_back(ledger: Ledger, catalog_id: str) -> None:
    _activate(ledger, catalog_id, release="r-1", head=1, generation=0)
    ledger.releases.set_pin(catalog_id=catalog_id, pinned=True, actor="test", reason="sale day")
    _activate(ledger, catalog_id, release="r-2", head=2, generation=1, action="promote")
    _activate(ledger, catalog_id, release="r-1", head=1, generation=2, action="restore")
    pinned = ledger.releases.live(catalog_id)

    ledger.releases.set_pin(catalog_id=catalog_id, pinned=False, actor="test", reason="")
    _activate(ledger, catalog_id, release="r-0", head=0, generation=3, action="rollback")
    _activate(ledger, catalog_id, release="r-1", head=1, generation=4, action="restore")

    assert (pinned.pinned, pinned.pin_reason) == (True, "sale day")
    assert not ledger.releases.live(catalog_id).pinned


def test_a_pin_that_a_person_sets_meanwhile_outlives_a_restoration(ledger: Ledger, catalog_id: str) -> None:
    _activate(ledger, catalog_id, release="r-1", head=1, generation=0)
    _activate(ledger, catalog_id, release="r-2", head=2, generation=1)

    ledger.releases.set_pin(catalog_id=catalog_id, pinned=True, actor="test", reason="hands off")
    _activate(ledger, catalog_id, release="r-1", head=1, generation=2, action="restore")

    assert ledger.releases.live(catalog_id).pin_reason == "hands off"


def test_what_goes_live_is_not_verified_until_it_is_marked_and_only_its_own_generation_counts(
    ledger: Ledger, catalog_id: str
) -> None:
    _activate(ledger, catalog_id, release="r-1", head=1, generation=0)
    before = ledger.releases.live(catalog_id).verified
    marked = ledger.releases.mark_verified(catalog_id=catalog_id, generation=1)
    verified = ledger.releases.live(catalog_id).verified
    _activate(ledger, catalog_id, release="r-2", head=2, generation=1)

    late = ledger.releases.mark_verified(catalog_id=catalog_id, generation=1)

    assert (before, marked, verified, late) == (False, True, True, False)
    assert not ledger.releases.live(catalog_id).verified


def test_migrating_keeps_what_was_live_verified_unless_its_staging_was_open(postgres_uri: str) -> None:
    ledger = Ledger(new_database(postgres_uri))
    ledger.migrate()
    for catalog_id in ("done", "under-way"):
        _activate(ledger, catalog_id, release="r-1", head=1, generation=0, action="promote")
    ledger.releases.request_staging(catalog_id="under-way", release_id="r-1")
    with ledger.database.transaction() as connection:
        for column in ("action", "verified_generation", "previous_pinned", "previous_pin_reason"):
            connection.exec_driver_sql(f"ALTER TABLE live_pointers DROP COLUMN {column}")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0002'")

    ledger.migrate()

    live = ledger.releases.all_live()
    assert {name: pointer.verified for name, pointer in live.items()} == {"done": True, "under-way": False}
    assert {pointer.action for pointer in live.values()} == {"promote"}
    ledger.close()


def test_migrating_a_ledger_with_releases_leaves_them_as_they_are_and_knows_no_promotion(postgres_uri: str) -> None:
    ledger = Ledger(new_database(postgres_uri))
    ledger.migrate()
    _activate(ledger, "demo", release="r-1", head=1, generation=0)
    ledger.releases.refuse_encoder(catalog_id="demo", fingerprint="enc-worse", reason="golden_image_drop")
    with ledger.database.transaction() as connection:
        for table in ("promotions", "catalog_promotions", "promotion_signals"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0003'")
    before = ledger.releases.all_live()

    ledger.migrate()

    assert ledger.releases.all_live() == before
    assert ledger.releases.refused_encoders("demo") == {"enc-worse": "golden_image_drop"}
    assert ledger.promotions.newest() is None
    assert ledger.promotions.observe(model_version="1", observed_by="poll").state == "observed"
    ledger.close()


def test_every_transition_is_journalled_in_the_object_store(
    ledger: Ledger, catalog_id: str, object_store: ObjectStore
) -> None:
    ledger.partitions.record_delivery(catalog_id=catalog_id, dt="2026-11-01", delivery_id="d-1", source="s3://b/p")
    ledger.releases.offer(catalog_id=catalog_id, release_id="r-1", head_sequence=1)
    _activate(ledger, catalog_id, release="r-1", head=1, generation=0)
    ledger.releases.refuse_encoder(catalog_id=catalog_id, fingerprint="f", reason="worse")
    ledger.releases.accept_encoder(catalog_id=catalog_id, fingerprint="f")

    entries = [json.loads(object_store.get_bytes(key)) for key in sorted(object_store.list_keys("journal/"))]

    own = [entry["kind"] for entry in entries if entry["payload"].get("catalog_id") == catalog_id]
    assert own == ["delivery_recorded", "candidate_offered", "activation", "encoder_refused", "encoder_accepted"]


def _race(
    start: threading.Barrier, ledger: Ledger, catalog_id: str, release: str, head: int, generation: int, action: str
) -> bool:
    start.wait()
    try:
        if action == "release":
            ledger.releases.offer(catalog_id=catalog_id, release_id=release, head_sequence=head)
        _activate(ledger, catalog_id, release=release, head=head, generation=generation, action=action)
    except LedgerError:
        return False
    return True


def _move_head(ledger: Ledger, catalog_id: str, *, days: int, mark: int = 0) -> int:
    head = 0
    for day in range(1, days + 1):
        name = {"catalog_id": catalog_id, "dt": f"2026-11-{day:02d}", "delivery_id": f"d-{day}-{mark}"}
        ledger.partitions.record_delivery(**name, source="s")
        head = ledger.partitions.publish_manifest(**name, manifest_id=f"m-{day}-{mark}")
    return head


def _activate(
    ledger: Ledger,
    catalog_id: str,
    *,
    release: str,
    head: int,
    generation: int,
    action: str = "release",
    fingerprint: str | None = None,
) -> None:
    ledger.releases.activate(
        catalog_id=catalog_id,
        release_id=release,
        head_sequence=head,
        expected_generation=generation,
        action=action,
        actor="test",
        fingerprint=fingerprint,
    )


def _block(row_group: int, *, rows: int) -> EmbeddingBlock:
    return EmbeddingBlock(
        block_id=f"block-{row_group}",
        key="",
        source_id="pack-1",
        row_group=row_group,
        rows=rows,
        engine="torch",
        precision="float32",
    )
