"""Mining on real Spark finds what a slow plain reference finds, leaks nothing, and is done once."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spark_jobs.mining import job, plan_training_set, read_plan, run_mine_job
from tests.settings import settings_of
from tests.spark_jobs.mining.mining_reference import (
    EVENTS_FROM,
    reference_co_clicks,
    reference_events,
    reference_grades,
    reference_propensities,
    reference_samples,
    reference_thumbs,
)
from tests.spark_jobs.mining.mining_shop import (
    AS_OF,
    PARAMETERS,
    WITHOUT_NEIGHBOURS,
    MiningShop,
    open_shop,
    write_grades,
)
from vitrine.connections import open_ledger, open_object_store
from vitrine.contracts.training_sets import MiningPlan, TrainingSet
from vitrine.errors import ContractError
from vitrine.settings import Settings
from vitrine.storage import ObjectStore
from vitrine.storage.object_file import open_parquet

pytestmark = pytest.mark.usefixtures("local_spark")


@dataclass(frozen=True)
class Mined:
    """A shop, what was mined of it, and what should have been."""

    shop: MiningShop
    plan: MiningPlan
    training_set: TrainingSet
    samples: list[dict[str, Any]]
    pairs: list[dict[str, Any]]
    negatives: list[dict[str, Any]]
    expected: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def shop_settings(s3_server: dict[str, str], database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of the module's own bucket."""
    store = ObjectStore(f"test-{uuid.uuid4().hex[:12]}", **s3_server)
    store.ensure_bucket()
    return settings_of(tmp_path_factory.mktemp("mining"), s3_server, store, database_url)


@pytest.fixture(scope="module")
def mined(shop_settings: Settings, local_spark: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mined]:
    """The shop with all that came later, mined as of the day before."""
    shop = open_shop(shop_settings, f"c{uuid.uuid4().hex[:10]}", later=True)
    yield _mine(shop, write_grades(tmp_path_factory.mktemp("grades")))


def test_the_samples_are_the_head_of_the_day_with_the_splits_of_the_reference(mined: Mined) -> None:
    found = {row["item_id"]: row["split"] for row in mined.samples}

    assert found == {name: row["split"] for name, row in mined.expected.items() if row["split"] is not None}
    assert mined.training_set.samples_by_split == {
        split: list(found.values()).count(split) for split in ("test", "train", "validation")
    }
    assert sum(mined.training_set.left_out.values()) == len(mined.expected) - len(found)
    assert min(mined.training_set.left_out[reason] for reason in ("gap", "later", "other_window")) > 0


def test_near_duplicates_are_grouped_as_the_reference_groups_them(mined: Mined) -> None:
    groups: dict[str, set[str]] = {}
    expected: dict[str, set[str]] = {}
    for row in mined.samples:
        groups.setdefault(row["near_duplicate_group"], set()).add(row["item_id"])
        expected.setdefault(mined.expected[row["item_id"]]["looks"], set()).add(row["item_id"])

    assert sorted(map(sorted, groups.values())) == sorted(map(sorted, expected.values()))
    assert max(map(len, groups.values())) > 1


def test_no_product_and_no_near_duplicate_stands_in_two_splits(mined: Mined) -> None:
    for column in ("parent_id", "near_duplicate_group"):
        splits: dict[str, set[str]] = {}
        for row in mined.samples:
            if row[column] is not None:
                splits.setdefault(row[column], set()).add(row["split"])

        assert max(map(len, splits.values())) == 1


def test_each_sample_says_where_its_image_lies(mined: Mined) -> None:
    store = open_object_store(mined.shop.settings)

    for row in mined.samples[::7]:
        with open_parquet(store, row["pack_key"]) as pack:
            names = pack.read_row_group(row["row_group"], columns=["image_sha256"]).column(0).to_pylist()
        assert names[row["row"]] == row["image_sha256"] == mined.expected[row["item_id"]]["image_sha256"]


def test_co_clicks_weigh_what_the_reference_weighs(mined: Mined) -> None:
    events = reference_events(mined.shop)
    propensities = reference_propensities(events)
    expected = reference_co_clicks(mined.expected, events, propensities)

    assert mined.training_set.events == len(events)
    assert {int(k): value for k, value in mined.training_set.propensities.items()} == pytest.approx(
        propensities, abs=1e-5
    )
    assert len(expected) > 20
    assert _weights(mined.pairs, "co_click") == pytest.approx(expected, rel=1e-5)


def test_thumbs_and_grades_are_positives_as_the_reference_says(mined: Mined) -> None:
    grades = reference_grades(mined.expected)

    thumbs = reference_thumbs(mined.expected, reference_events(mined.shop))
    assert thumbs
    assert _weights(mined.pairs, "thumbs_up") == pytest.approx(thumbs)
    good = {pair: grade / 5 for pair, grade in grades.items() if grade >= 3}
    assert good
    assert _weights(mined.pairs, "grade") == pytest.approx(good)


def test_an_item_is_paired_with_views_of_its_parent_only(mined: Mined) -> None:
    views = _weights(mined.pairs, "view")

    parents = {name: row["parent_id"] for name, row in mined.expected.items()}
    assert all(parents[a] == parents[b] and a != b for a, b in views)
    sizes: dict[str, int] = {}
    for row in mined.samples:
        if row["parent_id"] is not None:
            sizes[row["parent_id"]] = sizes.get(row["parent_id"], 0) + 1
    assert len(views) == sum(size * min(PARAMETERS.views_per_anchor, size - 1) for size in sizes.values())


def test_no_negative_is_of_the_product_a_near_duplicate_or_a_positive(mined: Mined) -> None:
    positives = {frozenset((row["anchor_item_id"], row["positive_item_id"])) for row in mined.pairs}

    assert {row["source"] for row in mined.negatives} == {"category", "neighbour", "grade"}
    for row in mined.negatives:
        anchor, negative = (mined.expected[row[name]] for name in ("anchor_item_id", "hard_negative_item_id"))
        assert anchor["split"] == negative["split"] is not None
        assert anchor["parent_id"] is None or anchor["parent_id"] != negative["parent_id"]
        bits = int(anchor["perceptual_hash"], 16) ^ int(negative["perceptual_hash"], 16)
        assert bits.bit_count() > PARAMETERS.near_duplicate_distance
        assert frozenset((anchor["item_id"], negative["item_id"])) not in positives
        assert row["source"] != "category" or anchor["category"] == negative["category"] is not None


def test_neighbours_are_the_nearest_of_an_exact_search(mined: Mined) -> None:
    positives = {frozenset((row["anchor_item_id"], row["positive_item_id"])) for row in mined.pairs}
    found: dict[str, list[tuple[float, str]]] = {}
    for row in mined.negatives:
        if row["source"] == "neighbour":
            found.setdefault(row["anchor_item_id"], []).append((row["score"], row["hard_negative_item_id"]))

    vectors = {
        row["item_id"]: np.asarray(mined.shop.vectors[row["image_sha256"]], np.float16).astype(np.float32)
        for row in mined.samples
    }
    vectors = {name: vector / np.linalg.norm(vector) for name, vector in vectors.items()}
    groups = {row["item_id"]: row["near_duplicate_group"] for row in mined.samples}
    # Items that the later day changed have another row and picture in the head by now, and their vectors are no longer
    # in the embedding set.
    covered = {name for name in vectors if name in found}
    assert len(covered) > 40
    for anchor in covered:
        of = mined.expected[anchor]
        scores = []
        for other in covered:
            row = mined.expected[other]
            same_product = other == anchor or (of["parent_id"] is not None and of["parent_id"] == row["parent_id"])
            is_positive = frozenset((anchor, other)) in positives
            if row["split"] == of["split"] and not same_product and not is_positive and groups[anchor] != groups[other]:
                scores.append(float(vectors[anchor] @ vectors[other]))
        nearest = sorted(scores, reverse=True)[: PARAMETERS.neighbour_negatives]
        assert sorted((score for score, _ in found[anchor]), reverse=True) == pytest.approx(nearest, abs=1e-4)


def test_what_came_after_the_day_changes_nothing(mined: Mined, tmp_path: Path) -> None:
    shop = open_shop(mined.shop.settings, f"c{uuid.uuid4().hex[:10]}", later=False)

    before = _mine(shop, write_grades(tmp_path), is_embedded=False)

    location = {"pack_key", "row_group", "row"}  # packs lie under the id of their catalog
    assert _content(before.samples, location) == _content(mined.samples, location)
    assert _content(before.pairs) == _content(mined.pairs)
    assert before.training_set.propensities == mined.training_set.propensities
    assert before.training_set.fingerprint is None
    assert before.negatives == [row for row in mined.negatives if row["source"] != "neighbour"]


def test_a_rerun_returns_the_set_that_is_there_without_spark(mined: Mined, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "mine", _must_not_run)

    plan = read_plan(
        mined.shop.settings, catalog_id=mined.shop.catalog_id, training_set_id=mined.training_set.training_set_id
    )
    assert plan == mined.plan
    assert run_mine_job(mined.shop.settings, plan) == mined.training_set


def test_a_run_killed_before_its_last_object_is_finished_by_the_next(
    mined: Mined, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_object_store(mined.shop.settings)
    prefix = f"{mined.shop.catalog_id}/training_sets/{mined.training_set.training_set_id}"
    before = store.get_bytes(f"{prefix}/training_set.json")
    store.delete(f"{prefix}/training_set.json")  # as a kill between the ledger's insert and the last object leaves it
    monkeypatch.setattr(job, "mine", _must_not_run)

    run_mine_job(mined.shop.settings, mined.plan)

    assert store.get_bytes(f"{prefix}/training_set.json") == before
    assert list(store.list_keys(f"{prefix}/scratch/")) == []


def test_a_beaten_attempt_leaves_no_parts_behind(mined: Mined, monkeypatch: pytest.MonkeyPatch) -> None:
    store, settings = open_object_store(mined.shop.settings), mined.shop.settings
    plan = plan_training_set(
        settings, catalog_id=mined.shop.catalog_id, as_of=AS_OF, events_from=AS_OF, parameters=WITHOUT_NEIGHBOURS
    )
    other = mined.training_set.model_copy(update={"training_set_id": plan.training_set_id})
    slower = mined.training_set.samples[0].model_copy(update={"key": f"{mined.shop.catalog_id}/slower.parquet"})

    def beaten(*_: Any, **__: Any) -> TrainingSet:
        store.put_bytes(slower.key, b"part")
        ledger = open_ledger(settings)
        key = f"{plan.catalog_id}/{plan.training_set_id}"
        ledger.attempts.commit(scope=job.SCOPE, key=key, attempt_id="quicker", result=other.model_dump(mode="json"))
        ledger.close()
        return other.model_copy(update={"samples": (slower,), "pairs": (), "negatives": ()})

    monkeypatch.setattr(job, "mine", beaten)

    assert run_mine_job(settings, plan) == other
    assert not store.exists(slower.key)


def test_days_that_contradict_each_other_are_refused(mined: Mined) -> None:
    with pytest.raises(ContractError, match="must not be learned from"):
        plan_training_set(mined.shop.settings, catalog_id=mined.shop.catalog_id, as_of=AS_OF, events_until="2026-11-13")
    with pytest.raises(ContractError, match="expected a partition up to 2026-10-01"):
        plan_training_set(mined.shop.settings, catalog_id=mined.shop.catalog_id, as_of="2026-10-01")


def test_a_file_that_holds_no_grades_is_refused(mined: Mined, tmp_path: Path) -> None:
    path = tmp_path / "grades.csv"
    path.write_text("query_item_id,item_id,grade\na,b,7\n", encoding="utf-8")

    with pytest.raises(ContractError, match="a grade from 0 to 5"):
        plan_training_set(mined.shop.settings, catalog_id=mined.shop.catalog_id, as_of=AS_OF, grades=path)


def _mine(shop: MiningShop, grades: Path, *, is_embedded: bool = True) -> Mined:
    plan = plan_training_set(
        shop.settings,
        catalog_id=shop.catalog_id,
        as_of=AS_OF,
        events_from=EVENTS_FROM,
        embedding_set_id=shop.embedding_set_id if is_embedded else None,
        grades=grades,
        parameters=PARAMETERS if is_embedded else WITHOUT_NEIGHBOURS,
    )
    training_set = run_mine_job(shop.settings, plan)
    store = open_object_store(shop.settings)
    kinds = []
    for parts in (training_set.samples, training_set.pairs, training_set.negatives):
        rows: list[dict[str, Any]] = []
        for part in parts:
            with open_parquet(store, part.key) as parquet:
                rows += parquet.read().to_pylist()
        kinds.append(sorted(rows, key=lambda row: str(list(row.values()))))
    return Mined(shop, plan, training_set, *kinds, expected=reference_samples(shop))


def _weights(pairs: list[dict[str, Any]], source: str) -> dict[tuple[str, str], float]:
    rows = [row for row in pairs if row["source"] == source]
    found = {(row["anchor_item_id"], row["positive_item_id"]): row["weight"] for row in rows}
    assert len(found) == len(rows)
    return found


def _content(rows: list[dict[str, Any]], without: set[str] = frozenset()) -> list[dict[str, Any]]:  # type: ignore[assignment]
    return [{name: value for name, value in row.items() if name not in without} for row in rows]


def _must_not_run(*_: Any, **__: Any) -> TrainingSet:
    raise AssertionError("the training set was there")
