"""Validation: in = accepted + rejected, thresholds stop a partition, and the suites agree with the quarantine."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spark_jobs.validation import validate_partition
from spark_jobs.validation.expectations import Outcome, run_suites
from spark_jobs.validation.partition import APPROVED_SCOPE, approval_key
from spark_jobs.validation.suites import images_suite, items_suite
from tests.spark_jobs.candidate_rows import DT, ProfiledDelivery, jpeg
from vitrine.catalogs import Catalog, QualityThresholds, get_catalog
from vitrine.contracts.datasets import PartFile
from vitrine.contracts.items import Reason, manifest_items_schema
from vitrine.errors import ContractError, GateError
from vitrine.head.reader import read_manifest
from vitrine.items.policy import IngestPolicy
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore
from vitrine.storage.object_file import open_parquet

LENIENT = QualityThresholds(
    max_reject_share=0.9, max_undecodable_share=0.5, max_missing_image_share=0.5, max_duplicate_id_share=0.5
)


def test_every_row_is_accepted_or_in_the_quarantine_with_its_reason(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str
) -> None:
    delivery = one_row_of_each_reason(Catalog(catalog_id=catalog_id, quality=LENIENT))
    delivery_id = delivery.write(settings, part_rows=7)

    manifest_id = validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)

    manifest = read_manifest(object_store, catalog_id, DT, manifest_id)
    quarantined = [
        row["reject_reason"]
        for part in manifest.quarantine_parts
        for row in open_parquet(object_store, part.key).read(columns=["reject_reason"]).to_pylist()
    ]
    assert manifest.rows_in == len(delivery.rows) == manifest.rows_accepted + manifest.rows_rejected
    assert manifest.rows_deleted == 1
    assert sorted(quarantined) == sorted(row["reject_reason"] for row in delivery.rows if "reject_reason" in row)
    assert manifest.rejected_by_reason == {reason: quarantined.count(reason) for reason in sorted(set(quarantined))}
    assert open_parquet(object_store, manifest.parts[0].key).schema_arrow.equals(manifest_items_schema())
    assert ledger.attempts.committed(scope=APPROVED_SCOPE, key=approval_key(catalog_id, DT, manifest_id)) is not None


def test_redoing_a_day_gives_the_same_manifest_and_writes_nothing(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str
) -> None:
    delivery_id = small_delivery(catalog_id).write(settings)
    first = validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)
    before = contents(object_store, catalog_id)

    again = validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)

    assert again == first
    assert contents(object_store, catalog_id) == before


def test_a_run_that_was_killed_before_its_manifest_ends_the_same(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str
) -> None:
    delivery_id = small_delivery(catalog_id).write(settings)
    manifest_id = validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)
    prefix = f"{catalog_id}/manifests/"
    whole = contents(object_store, prefix)
    forget_validation(ledger, catalog_id)
    for key in list(whole):
        if key.endswith(("manifest.json", "quarantine/part-00000.parquet")):
            object_store.delete(key)

    again = validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)

    assert again == manifest_id
    assert contents(object_store, prefix) == whole


def test_too_many_missing_images_stop_the_partition_and_leave_its_quarantine_to_look_at(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str
) -> None:
    delivery = small_delivery(catalog_id, quality=QualityThresholds(max_reject_share=0.5, max_missing_image_share=0.05))
    for number in range(2):
        delivery.reject(f"gone-{number}", Reason.IMAGE_MISSING)
    delivery_id = delivery.write(settings)

    with pytest.raises(
        GateError, match=r"max_missing_image_share: at most 5.00%, found 10.00% \(2 rows\): NOT MET"
    ) as refused:
        validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)
    with pytest.raises(GateError, match="max_missing_image_share"):
        validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)

    assert "max_reject_share: at most 50.00%, found 20.00% (4 rows): met" in str(refused.value)
    [key] = [key for key in object_store.list_keys(f"{catalog_id}/manifests/") if key.endswith("manifest.json")]
    manifest = read_manifest(object_store, catalog_id, DT, key.split("/")[-2])
    approval = approval_key(catalog_id, DT, manifest.manifest_id)
    assert manifest.rejected_by_reason["image_missing"] == 2
    assert ledger.attempts.committed(scope=APPROVED_SCOPE, key=approval) is None
    [check] = ledger.checks.series(catalog_id=catalog_id, check_name="max_missing_image_share")
    assert (check["value"], check["passed"], check["subject_id"]) == (0.1, False, manifest.manifest_id)


@pytest.mark.parametrize(("rejected", "refused"), [(42, False), (43, True)])
def test_a_share_of_exactly_its_limit_passes(
    settings: Settings, object_store: ObjectStore, catalog_id: str, rejected: int, refused: bool
) -> None:
    delivery = ProfiledDelivery(Catalog(catalog_id=catalog_id, quality=QualityThresholds(max_reject_share=0.42)))
    for number in range(100 - rejected):
        delivery.accept(f"item-{number}", image=jpeg(number % 4))
    for number in range(rejected):
        delivery.reject(f"odd-{number}", Reason.WRONG_TYPE)
    delivery_id = delivery.write(settings)

    if refused:
        with pytest.raises(GateError, match=r"max_reject_share: at most 42\.00%, found 43\.00%"):
            validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)
    else:
        assert validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)


def test_a_raised_threshold_approves_the_manifest_that_was_refused(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str
) -> None:
    delivery = small_delivery(catalog_id, quality=QualityThresholds(max_reject_share=0.01, max_duplicate_id_share=0.5))
    delivery_id = delivery.write(settings)
    with pytest.raises(GateError, match="max_reject_share"):
        validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)
    before = contents(object_store, f"{catalog_id}/manifests/")
    raised = settings.catalogs_file.read_text().replace("max_reject_share: 0.01", "max_reject_share: 0.5")
    settings.catalogs_file.write_text(raised)

    manifest_id = validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)

    assert contents(object_store, f"{catalog_id}/manifests/") == before
    assert ledger.attempts.committed(scope=APPROVED_SCOPE, key=approval_key(catalog_id, DT, manifest_id)) is not None


def test_an_empty_delivery_is_refused_for_its_rows(
    settings: Settings, object_store: ObjectStore, catalog_id: str
) -> None:
    delivery_id = ProfiledDelivery(Catalog(catalog_id=catalog_id)).write(settings)

    with pytest.raises(GateError, match="min_rows: at least 1 rows, found 0: NOT MET"):
        validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)


def test_rows_that_were_judged_wrongly_fail_the_run(
    settings: Settings, object_store: ObjectStore, catalog_id: str
) -> None:
    faults: list[tuple[dict[str, Any], str]] = [
        ({"image_width": 8, "image_height": 8}, "be_between(image_shorter_side): 1 of"),
        ({"image_size_bytes": 10**9}, "be_between(image_size_bytes): 1 of"),
        ({"image_sha256": "short"}, "match_regex(image_sha256): 1 of"),
        ({"item_id": "item-0"}, "be_unique(item_id): 2 of"),
        ({"item_id": None}, "not_be_null(item_id): 1 of"),
        ({"embedding": [1.0]}, "be_null(embedding_dimension): 1 of"),
        ({"reject_reason": "image_too_small"}, "be_between(image_shorter_side) of rows rejected as image_too_small: 1"),
        ({"reject_reason": "missing_item_id"}, "be_null(item_id) of rows rejected as missing_item_id: 1 of"),
        ({"reject_reason": "bad_luck"}, "be_in_set(verdict): 1 of"),
        ({"source_id": None, "image": None}, "not_be_null(source_id): 1 of"),
    ]
    delivery = small_delivery(catalog_id)
    delivery.write(settings)
    for row, (fault, _) in zip(delivery.rows[2:], faults, strict=False):
        row.update(fault)
    delivery_id = delivery.write(settings)

    with pytest.raises(ContractError, match="validation disagrees with quarantine") as refused:
        validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)

    assert [named for _, named in faults if named not in str(refused.value)] == []
    assert not list(object_store.list_keys(f"{catalog_id}/manifests/"))


def test_vectors_of_another_dimension_are_caught_again(
    settings: Settings, object_store: ObjectStore, catalog_id: str
) -> None:
    catalog = Catalog(catalog_id=catalog_id, space="vectors", dimension=3, quality=LENIENT)
    delivery = ProfiledDelivery(catalog)
    for number in range(4):
        delivery.accept(f"item-{number}", embedding=[1.0, float(number), 2.0])
    delivery.reject("short", Reason.EMBEDDING_DIMENSION, embedding=[1.0])
    delivery.reject("none", Reason.MISSING_EMBEDDING)
    good = delivery.write(settings)
    delivery.accept("wrong", embedding=[1.0, 2.0])
    bad = delivery.write(settings)

    assert validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=good)
    with pytest.raises(ContractError, match="embedding_dimension"):
        validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=bad)


def test_pandas_and_spark_come_to_the_same_verdict(
    settings: Settings, object_store: ObjectStore, catalog_id: str, local_spark: None, tmp_path: Path
) -> None:
    delivery = one_row_of_each_reason(Catalog(catalog_id=catalog_id, quality=QualityThresholds()))
    delivery.rows[3] |= {"image_width": 8}
    delivery.write(settings, part_rows=9)
    policy = IngestPolicy.of(delivery.catalog, settings)
    counts = Counter(row["reject_reason"] for row in delivery.rows if "reject_reason" in row)
    parts = [PartFile(key=key, rows=9, sha256="") for key in object_store.list_keys(catalog_id) if "/part-" in key]

    runs = [
        run_suites(
            settings.model_copy(update={"validation_pandas_rows": limit}),
            object_store,
            parts=parts,
            suites=[items_suite(policy, rejected_by_reason=counts, rows=len(delivery.rows)), images_suite(policy)],
            docs_dir=tmp_path / str(limit),
        )
        for limit in (1000, 0)
    ]

    assert [run.engine for run in runs] == ["pandas", "spark"]
    assert [outcome for outcome in runs[0].outcomes if outcome.error] == []
    assert [_counted(outcome) for outcome in runs[0].outcomes] == [_counted(outcome) for outcome in runs[1].outcomes]
    assert {outcome.passed for outcome in runs[0].outcomes} == {True, False}


def _counted(outcome: Outcome) -> Outcome:
    """A type is asked of each value in pandas and of the column in Spark, which counts no rows."""
    if outcome.expectation != "expect_column_values_to_be_in_type_list":
        return outcome
    return replace(outcome, rows=None, unexpected=None, observed=None)


def test_data_docs_are_published_and_kept_on_this_machine(
    settings: Settings, object_store: ObjectStore, catalog_id: str
) -> None:
    delivery_id = small_delivery(catalog_id).write(settings)

    manifest_id = validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)

    policy = IngestPolicy.of(get_catalog(settings.catalogs_file, catalog_id), settings)
    prefix = f"{catalog_id}/reports/dt={DT}/validation/{manifest_id}/{policy.digest()}"
    published = list(object_store.list_keys(prefix))
    assert f"{prefix}/index.html" in published
    assert f"{prefix}/result.json" in published
    assert b"items_suite" in object_store.get_bytes(f"{prefix}/index.html")
    assert (settings.state_dir / "data_docs" / catalog_id / DT / "index.html").is_file()


def test_a_delivery_that_was_not_profiled_is_named(
    settings: Settings, catalog_id: str, object_store: ObjectStore
) -> None:
    small_delivery(catalog_id).write(settings)

    with pytest.raises(ContractError, match=r"delivery-none .* has no profile"):
        validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id="delivery-none")


def small_delivery(catalog_id: str, *, quality: QualityThresholds = LENIENT) -> ProfiledDelivery:
    """Sixteen accepted items, a duplicate, a row of a wrong type."""
    delivery = ProfiledDelivery(Catalog(catalog_id=catalog_id, quality=quality))
    delivery.reject("item-0", Reason.DUPLICATE_ITEM_ID)
    for number in range(16):
        delivery.accept(f"item-{number}", title=f"Item {number}", image=jpeg(number % 5))
    delivery.reject("odd", Reason.WRONG_TYPE)
    return delivery


def one_row_of_each_reason(catalog: Catalog) -> ProfiledDelivery:
    """A delivery with a row of every reason that its space knows, each as the profile job leaves it."""
    delivery = ProfiledDelivery(catalog)
    image = {"image_sha256": "a" * 64, "image_size_bytes": 900, "image_width": 90, "image_height": 90}
    delivery.reject("item-0", Reason.DUPLICATE_ITEM_ID)
    delivery.reject("item-1", Reason.DUPLICATE_ITEM_ID)
    for number in range(12):
        delivery.accept(f"item-{number}")
    delivery.delete("item-gone")
    delivery.reject("item-1", Reason.IMAGE_MISSING)  # comes later, and takes nothing back
    delivery.reject("moved", Reason.IMAGE_CHANGED)
    delivery.reject(None, Reason.MALFORMED_ROW, image_uri=None)
    delivery.reject(None, Reason.MISSING_ITEM_ID)
    delivery.reject("odd", Reason.WRONG_TYPE)
    delivery.reject("odd", Reason.WRONG_TYPE)
    delivery.reject(None, Reason.WRONG_TYPE)
    delivery.reject("blind", Reason.MISSING_IMAGE_URI, image_uri=None)
    delivery.reject("abroad", Reason.IMAGE_NOT_ALLOWED)
    delivery.reject("vector", Reason.UNEXPECTED_EMBEDDING, embedding=[1.0, 2.0])
    delivery.reject("heavy", Reason.IMAGE_TOO_MANY_BYTES, image_size_bytes=10**9)
    delivery.reject("bomb", Reason.IMAGE_TOO_MANY_PIXELS, **image | {"image_width": 10**5, "image_height": 10**5})
    delivery.reject("torn", Reason.IMAGE_UNDECODABLE, **image)
    delivery.reject("noise", Reason.IMAGE_UNDECODABLE, image_sha256="b" * 64, image_size_bytes=5)
    delivery.reject("small", Reason.IMAGE_TOO_SMALL, **image | {"image_width": 31}, perceptual_hash="0" * 16)
    delivery.reject("banner", Reason.IMAGE_EXTREME_ASPECT, **image | {"image_width": 900}, perceptual_hash="0" * 16)
    return delivery


def contents(object_store: ObjectStore, prefix: str) -> dict[str, bytes]:
    """Returns every object under a prefix, parts read as rows' bytes."""
    return {key: object_store.get_bytes(key) for key in object_store.list_keys(prefix)}


def forget_validation(ledger: Ledger, catalog_id: str) -> None:
    """Takes the record of a finished validation away, as if it had been killed before."""
    from vitrine.ledger import tables

    table = tables.committed_attempts
    with ledger.database.transaction() as connection:
        connection.execute(table.delete().where((table.c.scope == "validation") & table.c.key.startswith(catalog_id)))
