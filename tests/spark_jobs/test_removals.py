"""What a delivery takes out of the head is gated before it is published, with a way to say that it is meant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spark_jobs import publication, removals
from spark_jobs.deliveries.recording import record_delivery
from spark_jobs.publication import publish_partition
from spark_jobs.removals import removal_of
from spark_jobs.validation import validate_partition
from tests.items_files import write_jsonl
from tests.spark_jobs.candidate_rows import ProfiledDelivery, write_manifest
from vitrine.catalogs import Catalog
from vitrine.contracts.datasets import EmbeddingBlock, Manifest
from vitrine.contracts.items import Reason
from vitrine.errors import GateError
from vitrine.head.reader import manifest_units, read_manifest
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

FIRST, SECOND, THIRD = "2026-11-01", "2026-11-02", "2026-11-03"


@pytest.fixture
def catalog(catalog_id: str) -> Catalog:
    return Catalog(catalog_id=catalog_id, space="vectors", dimension=2)


def delivery(
    catalog: Catalog, dt: str, items: range, *, gone: range = range(0), full: bool = False
) -> ProfiledDelivery:
    """A day that brings some items and deletes others."""
    day = ProfiledDelivery(catalog, dt=dt, full=full)
    for number in items:
        day.accept(f"item-{number}", embedding=[1.0, float(number)])
    for number in gone:
        day.delete(f"item-{number}")
    return day


def publish(settings: Settings, ledger: Ledger, store: ObjectStore, day: ProfiledDelivery) -> Manifest:
    """Publishes a day whatever it removes."""
    catalog_id = day.catalog.catalog_id
    manifest = read_manifest(store, catalog_id, day.dt, write_manifest(settings, day))
    ledger.partitions.publish_manifest(
        catalog_id=catalog_id, dt=day.dt, manifest_id=manifest.manifest_id, delivery_id=manifest.delivery_id
    )
    return manifest


@pytest.mark.parametrize(
    ("items", "gone", "full", "removed"),
    [
        (range(0), range(1), True, 20),  # a full delivery of a single deletion
        (range(20), range(0), True, 0),
        (range(8, 30), range(0), True, 8),  # as many items as before, and others
        (range(0), range(0), False, 0),
        (range(20, 25), range(0), False, 0),
        (range(0), range(7), False, 7),
        (range(0), range(15, 40), False, 5),  # of 25 deletions 20 name what is not there
    ],
)
def test_the_head_is_compared_with_what_it_would_be(
    items: range,
    gone: range,
    full: bool,
    removed: int,
    settings: Settings,
    ledger: Ledger,
    object_store: ObjectStore,
    catalog: Catalog,
) -> None:
    publish(settings, ledger, object_store, delivery(catalog, FIRST, range(12)))
    publish(settings, ledger, object_store, delivery(catalog, SECOND, range(10, 20)))
    day = delivery(catalog, THIRD, items, gone=gone, full=full)
    manifest = read_manifest(object_store, catalog.catalog_id, THIRD, write_manifest(settings, day))

    found = removal_of(object_store, manifest, current=ledger.partitions.head(catalog.catalog_id).manifests, limit=0.0)

    assert (found.removed, found.items if removed else 20) == (removed, 20)


def test_a_delivery_that_replaces_the_day_removes_what_only_the_earlier_one_had_brought(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog: Catalog
) -> None:
    publish(settings, ledger, object_store, delivery(catalog, FIRST, range(10)))
    publish(settings, ledger, object_store, delivery(catalog, SECOND, range(5, 20)))
    replacing = delivery(catalog, SECOND, range(5, 8))
    manifest = read_manifest(object_store, catalog.catalog_id, SECOND, write_manifest(settings, replacing))

    found = removal_of(object_store, manifest, current=ledger.partitions.head(catalog.catalog_id).manifests, limit=0.3)

    assert (found.removed, found.items) == (10, 20)


def test_what_a_full_delivery_brings_broken_is_not_removed(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog: Catalog
) -> None:
    publish(settings, ledger, object_store, delivery(catalog, FIRST, range(4)))
    day = delivery(catalog, SECOND, range(3), full=True)
    day.reject("item-3", Reason.EMBEDDING_ZERO)
    delivery_id = day.write(settings)
    loose = settings.catalogs_file.read_text().replace(
        "dimension: 2", "dimension: 2\n    quality: {max_reject_share: 0.5}"
    )
    settings.catalogs_file.write_text(loose)

    assert validate_partition(settings, catalog_id=catalog.catalog_id, dt=SECOND, delivery_id=delivery_id)


def test_a_day_of_few_deletions_reads_no_rows(
    settings: Settings,
    ledger: Ledger,
    object_store: ObjectStore,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(settings, ledger, object_store, delivery(catalog, FIRST, range(20)))
    day = delivery(catalog, SECOND, range(3), gone=range(10, 13))
    manifest = read_manifest(object_store, catalog.catalog_id, SECOND, write_manifest(settings, day))
    monkeypatch.setattr(removals, "_compared", _refuse)

    found = removal_of(object_store, manifest, current=ledger.partitions.head(catalog.catalog_id).manifests, limit=0.3)

    assert (found.removed, found.items) == (3, 20)


def _refuse(*_: object, **__: object) -> Iterator[str]:
    raise AssertionError("rows were read")


def test_of_many_ids_a_sample_says_the_share(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog: Catalog
) -> None:
    publish(settings, ledger, object_store, delivery(catalog, FIRST, range(4_000)))
    day = delivery(catalog, SECOND, range(2_000, 4_000), full=True)
    manifest = read_manifest(object_store, catalog.catalog_id, SECOND, write_manifest(settings, day))

    found = removal_of(
        object_store,
        manifest,
        current=ledger.partitions.head(catalog.catalog_id).manifests,
        limit=0.3,
        sampled_ids=1_000,
    )

    assert found.one_of == 6
    assert found.share == pytest.approx(0.5, abs=0.06)
    assert found.items == pytest.approx(4_000, rel=0.1)


def test_a_full_delivery_that_empties_the_head_is_refused_until_somebody_says_that_it_is_meant(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog: Catalog
) -> None:
    catalog_id = catalog.catalog_id
    publish(settings, ledger, object_store, delivery(catalog, FIRST, range(20)))
    delivery_id = delivery(catalog, SECOND, range(0), gone=range(1), full=True).write(settings)
    day = {"catalog_id": catalog_id, "dt": SECOND}

    for _ in range(2):
        with pytest.raises(GateError, match=r"would take 20 of 20 items .* 100\.0% \(limit 30\.0%.*REMOVAL=meant"):
            validate_partition(settings, **day, delivery_id=delivery_id)
    [refused] = [key for key in object_store.list_keys(f"{catalog_id}/manifests/dt={SECOND}") if "manifest.json" in key]
    with pytest.raises(GateError, match="is not approved"):
        publish_partition(settings, **day, manifest_id=refused.split("/")[-2], fingerprints=["external"])
    assert record_delivery(settings, **day, removal_is_meant=True) == delivery_id
    manifest_id = validate_partition(settings, **day, delivery_id=delivery_id)
    publish_partition(settings, **day, manifest_id=manifest_id, fingerprints=["external"])

    assert ledger.partitions.head(catalog_id).manifests[SECOND] == manifest_id
    assert record_delivery(settings, **day) == delivery_id
    assert validate_partition(settings, **day, delivery_id=delivery_id) == manifest_id
    shares = [(check["value"], check["passed"]) for check in ledger.checks.series(**_check(catalog_id))]
    assert sorted(shares) == [(1.0, False), (1.0, False), (1.0, True)]


def test_an_approval_holds_for_the_head_that_it_was_judged_by(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog: Catalog
) -> None:
    day = {"catalog_id": catalog.catalog_id, "dt": SECOND}
    delivery_id = delivery(catalog, SECOND, range(0), gone=range(1), full=True).write(settings)
    manifest_id = validate_partition(settings, **day, delivery_id=delivery_id)  # of an empty head
    publish(settings, ledger, object_store, delivery(catalog, FIRST, range(20)))
    of = {**day, "manifest_id": manifest_id, "fingerprints": ["external"]}

    assert validate_partition(settings, **day, delivery_id=delivery_id) == manifest_id
    with pytest.raises(GateError, match=r"would take 20 of 20 items .* 100\.0% \(limit 30\.0%.*REMOVAL=meant"):
        publish_partition(settings, **of)
    assert SECOND not in ledger.partitions.head(catalog.catalog_id).manifests
    record_delivery(settings, **day, removal_is_meant=True)

    assert publish_partition(settings, **of) == 2


@pytest.mark.parametrize(
    ("later", "is_full", "removed"),
    [
        (range(20, 30), False, (19, 30)),  # a head of 30, of which 19 were brought by the first day alone
        (range(20), False, (0, 20)),  # a later day brings them all again
        (range(20), True, (0, 20)),
        (range(1), True, (0, 1)),  # a later full day has removed them already
    ],
)
def test_of_an_earlier_day_counts_what_later_days_have_left_of_it(
    later: range,
    is_full: bool,
    removed: tuple[int, int],
    settings: Settings,
    ledger: Ledger,
    object_store: ObjectStore,
    catalog: Catalog,
) -> None:
    publish(settings, ledger, object_store, delivery(catalog, FIRST, range(20)))
    publish(settings, ledger, object_store, delivery(catalog, SECOND, later, full=is_full))
    again = delivery(catalog, FIRST, range(1))
    manifest = read_manifest(object_store, catalog.catalog_id, FIRST, write_manifest(settings, again))

    found = removal_of(object_store, manifest, current=ledger.partitions.head(catalog.catalog_id).manifests, limit=0.0)

    assert (found.removed, found.items) == removed


def test_an_earlier_day_delivered_again_does_not_empty_what_later_days_have_left(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog: Catalog
) -> None:
    publish(settings, ledger, object_store, delivery(catalog, FIRST, range(100)))
    publish(settings, ledger, object_store, delivery(catalog, SECOND, range(0), gone=range(20, 100)))
    delivery_id = delivery(catalog, FIRST, range(20, 100)).write(settings)  # of its own day, a fifth is missing

    with pytest.raises(GateError, match=r"would take 20 of 20 items out of the head: 100\.0%"):
        validate_partition(settings, catalog_id=catalog.catalog_id, dt=FIRST, delivery_id=delivery_id)


def test_redoing_a_day_asks_nobody_but_delivering_an_earlier_version_of_it_again_does(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog: Catalog
) -> None:
    day = {"catalog_id": catalog.catalog_id, "dt": FIRST}
    for items, sequence in ((1, 1), (100, 2), (100, 2)):
        assert _ingest(settings, ledger, object_store, delivery(catalog, FIRST, range(items))) == sequence
    checked = len(ledger.checks.series(**_check(catalog.catalog_id)))

    with pytest.raises(GateError, match=r"would take 99 of 100 items out of the head: 99\.0%"):
        _ingest(settings, ledger, object_store, delivery(catalog, FIRST, range(1)))

    assert checked == 2
    record_delivery(settings, **day, removal_is_meant=True)
    assert _ingest(settings, ledger, object_store, delivery(catalog, FIRST, range(1))) == 3


def test_a_manifest_is_published_on_the_head_that_it_was_judged_by_or_judged_anew(
    settings: Settings,
    ledger: Ledger,
    object_store: ObjectStore,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    day = {"catalog_id": catalog.catalog_id, "dt": SECOND}
    emptying = delivery(catalog, SECOND, range(0), gone=range(1), full=True)
    manifest_id = validate_partition(settings, **day, delivery_id=emptying.write(settings))
    judge = publication.check_removal
    publish(settings, ledger, object_store, delivery(catalog, THIRD, range(100, 101)))

    def judge_and_lose_the_race(*of: Any, **how: Any) -> object:
        judged = judge(*of, **how)
        if FIRST not in ledger.partitions.head(catalog.catalog_id).manifests:
            publish(settings, ledger, object_store, delivery(catalog, FIRST, range(20)))
        return judged

    monkeypatch.setattr(publication, "check_removal", judge_and_lose_the_race)

    with pytest.raises(GateError, match="would take 20 of 21 items"):
        publish_partition(settings, **day, manifest_id=manifest_id, fingerprints=["external"])
    assert SECOND not in ledger.partitions.head(catalog.catalog_id).manifests


def _ingest(settings: Settings, ledger: Ledger, object_store: ObjectStore, version: ProfiledDelivery) -> int:
    """Makes a delivery the day's current one and publishes it as if its vectors had been taken over."""
    catalog_id = version.catalog.catalog_id
    day = {"catalog_id": catalog_id, "dt": version.dt}
    manifest_id = validate_partition(settings, **day, delivery_id=version.write(settings))
    for source_id, row_group in manifest_units(
        object_store, read_manifest(object_store, **day, manifest_id=manifest_id)
    ):
        block = EmbeddingBlock(
            block_id=f"block-{source_id}",
            key="",
            source_id=source_id,
            row_group=row_group,
            rows=0,
            engine="test",
            precision="fp32",
        )
        ledger.blocks.commit(catalog_id=catalog_id, fingerprint="external", block=block)
    return publish_partition(settings, **day, manifest_id=manifest_id, fingerprints=["external"])


def _check(catalog_id: str) -> dict[str, str]:
    return {"catalog_id": catalog_id, "check_name": "max_removed_share"}


@pytest.mark.parametrize("by_file", [True, False])
def test_a_source_may_say_that_what_it_removes_is_meant(
    by_file: bool, settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog: Catalog, tmp_path: Path
) -> None:
    publish(settings, ledger, object_store, delivery(catalog, FIRST, range(4)))
    write_jsonl(tmp_path / "items.jsonl", [{"item_id": "item-0", "deleted": True}])
    if by_file:
        (tmp_path / "_full").touch()
        (tmp_path / "_removal_is_meant").touch()
    else:
        (tmp_path / "delivery.yaml").write_text("full: true\nremoval_is_meant: true\n")
    delivery_id = record_delivery(settings, catalog_id=catalog.catalog_id, dt=SECOND, source=str(tmp_path))
    day = delivery(catalog, SECOND, range(0), gone=range(1), full=True)
    manifest = read_manifest(object_store, catalog.catalog_id, SECOND, write_manifest(settings, day))
    meant = manifest.model_copy(update={"delivery_id": delivery_id})

    head = ledger.partitions.head(catalog.catalog_id)

    found = removals.check_removal(settings, object_store, ledger, meant, head=head, limit=0.3)

    assert (found.removed, found.items) == (4, 4)
    with pytest.raises(GateError, match="would take 4 of 4 items"):
        removals.check_removal(settings, object_store, ledger, manifest, head=head, limit=0.3)
