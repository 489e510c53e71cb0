"""What mining must find, computed slowly and plainly in one process."""

from __future__ import annotations

import datetime
from collections import defaultdict
from itertools import combinations
from typing import Any

from tests.head_rows import head_rows
from tests.spark_jobs.mining.mining_shop import AS_OF, GRADES, PARAMETERS, MiningShop
from tests.spark_jobs.mining.splits_reference import SplitItem, assign_splits, split_of_time
from vitrine.connections import open_object_store
from vitrine.contracts.training_sets import Split, TrainingWindow, training_window

EVENTS_FROM = "2026-10-21"
WINDOW: TrainingWindow = training_window(
    events_from=EVENTS_FROM, events_until=AS_OF, as_of=AS_OF, parameters=PARAMETERS
)
Rows = list[dict[str, Any]]


def reference_samples(shop: MiningShop) -> dict[str, dict[str, Any]]:
    """Returns the head's rows as of the day by item_id, each with `split` (None: left out) and `looks`, its group."""
    counted = {dt: manifest_id for dt, manifest_id in shop.manifests.items() if dt <= AS_OF}
    columns = ["item_id", "parent_id", "category", "created_at", "perceptual_hash", "image_sha256", "title"]
    rows = {
        row["item_id"]: row
        for row in head_rows(open_object_store(shop.settings), counted, shop.catalog_id, columns).to_pylist()
    }
    first_day: dict[str, str] = {}
    for dt, manifest_id in sorted(counted.items()):
        only = head_rows(open_object_store(shop.settings), {dt: manifest_id}, shop.catalog_id, ["item_id"])
        for item_id in only["item_id"].to_pylist():
            first_day.setdefault(item_id, dt)
    looks = _near_duplicates({name: int(row["perceptual_hash"], 16) for name, row in rows.items()})
    items = []
    for item_id, row in rows.items():
        day = datetime.datetime.fromisoformat(first_day[item_id]).replace(tzinfo=datetime.UTC)
        items.append(SplitItem(item_id, row["parent_id"], looks[item_id], row["created_at"] or day))
    splits = assign_splits(items, WINDOW)
    return {name: row | {"split": splits[name], "looks": looks[name]} for name, row in rows.items()}


def reference_events(shop: MiningShop) -> Rows:
    """Returns the events that count, with their split."""
    found = []
    for row in shop.events:
        split = split_of_time(row["occurred_at"], WINDOW)
        if EVENTS_FROM <= row["occurred_at"].date().isoformat() <= AS_OF and split is not None:
            found.append(row | {"split": split})
    return found


def reference_propensities(events: Rows) -> dict[int, float]:
    """Returns theta of the position-based model after five rounds, from the train window."""
    shown: dict[tuple[str, int], int] = defaultdict(int)
    clicked: dict[tuple[str, int], int] = defaultdict(int)
    for row in events:
        if row["split"] == Split.TRAIN and row["kind"] in ("impression", "click"):
            (shown if row["kind"] == "impression" else clicked)[row["item_id"], row["position"]] += 1
    theta = {position: 1.0 for _, position in shown}
    for _ in range(5):
        exposure: dict[str, float] = defaultdict(float)
        clicks: dict[str, float] = defaultdict(float)
        for (item, position), times in shown.items():
            exposure[item] += times * theta[position]
            clicks[item] += clicked[item, position]
        for position in theta:
            expected = sum(n * clicks[i] / exposure[i] for (i, k), n in shown.items() if k == position)
            theta[position] = sum(c for (_, k), c in clicked.items() if k == position) / expected
        theta = {k: max(1e-6, min(1.0, value / theta[1])) for k, value in theta.items()}
    return {k: max(PARAMETERS.min_propensity, value) for k, value in theta.items()}


def reference_co_clicks(
    samples: dict[str, dict[str, Any]], events: Rows, propensities: dict[int, float]
) -> dict[tuple[str, str], float]:
    """Returns the weight of every co-clicked pair, in both directions."""
    found: dict[tuple[str, str], float] = {}
    for split in Split:
        shown: dict[str, set[str]] = defaultdict(set)
        clicked: dict[str, dict[str, float]] = defaultdict(dict)
        for row in events:
            if row["split"] == split and row["kind"] == "impression":
                shown[row["query_id"]].add(row["item_id"])
            if row["split"] == split and row["kind"] == "click":
                clicked[row["query_id"]][row["item_id"]] = propensities[row["position"]]
        for first, second in combinations(sorted(name for name in samples if samples[name]["split"] == split), 2):
            both = [clicks for clicks in clicked.values() if first in clicks and second in clicks]
            together = sum(first in items and second in items for items in shown.values())
            alone = [sum(name in items for items in shown.values()) for name in (first, second)]
            if len(both) >= 2 and together >= 2 and min(alone) >= 2:
                counted = sum(min(20.0, 1 / (clicks[first] * clicks[second])) for clicks in both)
                found[first, second] = found[second, first] = min(1.0, counted / together)
    return found


def reference_thumbs(samples: dict[str, dict[str, Any]], events: Rows) -> dict[tuple[str, str], float]:
    """Returns the share of thumbs up of every pair that has more of them up than down."""
    votes: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for row in events:
        if row["kind"].startswith("thumbs") and row["query_item_id"] != row["item_id"]:
            votes[row["split"], row["query_item_id"], row["item_id"]].append(row["kind"] == "thumbs_up")
    return {
        (query, item): sum(each) / len(each)
        for (split, query, item), each in votes.items()
        if 2 * sum(each) > len(each) and _both(samples, query, item) == split
    }


def reference_grades(samples: dict[str, dict[str, Any]]) -> dict[tuple[str, str], float]:
    """Returns the mean grade of every graded pair within a split."""
    grades: dict[tuple[str, str], list[int]] = defaultdict(list)
    for first, second, grade in GRADES:
        grades[f"item-{first:03d}", f"item-{second:03d}"].append(grade)
    return {pair: sum(each) / len(each) for pair, each in grades.items() if _both(samples, *pair)}


def _both(samples: dict[str, dict[str, Any]], first: str, second: str) -> Split | None:
    splits = {samples.get(name, {}).get("split") for name in (first, second)}
    return splits.pop() if len(splits) == 1 else None


def _near_duplicates(hashes: dict[str, int]) -> dict[str, str]:
    """Returns a name of each item's group: groups are merged until nothing changes."""
    groups = {name: name for name in hashes}
    changed = True
    while changed:
        changed = False
        for first, second in combinations(sorted(hashes), 2):
            near = (hashes[first] ^ hashes[second]).bit_count() <= PARAMETERS.near_duplicate_distance
            if near and groups[first] != groups[second]:
                groups[first] = groups[second] = min(groups[first], groups[second])
                changed = True
    return groups
