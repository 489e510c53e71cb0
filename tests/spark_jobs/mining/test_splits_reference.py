"""The reference for splits, by time and by product: nothing stands on two sides."""

from __future__ import annotations

import datetime

from hypothesis import given
from hypothesis import strategies as st

from tests.spark_jobs.mining.splits_reference import SplitItem, assign_splits, split_of_time
from vitrine.contracts.training_sets import MiningParameters, Split, training_window

_PARAMETERS = MiningParameters(validation_days=5, test_days=4, gap_days=2)
_WINDOW = training_window(
    events_from="2026-10-01", events_until="2026-11-20", as_of="2026-11-20", parameters=_PARAMETERS
)
_times = st.datetimes(datetime.datetime(2026, 10, 25), datetime.datetime(2026, 11, 24), timezones=st.just(datetime.UTC))
_items = st.lists(st.tuples(st.none() | st.integers(0, 8), st.none() | st.integers(0, 8), _times), max_size=40).map(
    lambda rows: [
        SplitItem(f"i{n}", None if p is None else f"p{p}", None if g is None else f"g{g}", at)
        for n, (p, g, at) in enumerate(rows)
    ]
)


def test_days_of_the_gaps_and_after_the_end_are_in_no_split() -> None:
    days = {day: split_of_time(_noon(day), _WINDOW) for day in range(7, 22)}

    assert [day for day, split in days.items() if split is None] == [8, 9, 15, 16, 21]
    assert days[7] is Split.TRAIN
    assert days[10] is days[14] is Split.VALIDATION
    assert days[17] is days[20] is Split.TEST


def test_a_view_that_came_in_the_test_window_of_a_known_product_is_left_out() -> None:
    items = [SplitItem("old", "p", None, _noon(1)), SplitItem("new", "p", None, _noon(18))]

    assert assign_splits(items, _WINDOW) == {"old": Split.TRAIN, "new": None}


def test_a_near_duplicate_of_a_known_product_takes_the_whole_new_product_with_it() -> None:
    items = [
        SplitItem("old", "p", "g", _noon(1)),
        SplitItem("copy", "q", "g", _noon(18)),
        SplitItem("other view", "q", "h", _noon(18)),
        SplitItem("new", "r", None, _noon(18)),
    ]

    assert assign_splits(items, _WINDOW) == {"old": Split.TRAIN, "copy": None, "other view": None, "new": Split.TEST}


@given(_items)
def test_no_product_and_no_near_duplicate_stands_on_two_sides(items: list[SplitItem]) -> None:
    splits = assign_splits(items, _WINDOW)

    for key in ("parent_id", "near_duplicate_group"):
        sides: dict[str, set[Split]] = {}
        for item in items:
            if getattr(item, key) is not None and splits[item.item_id] is not None:
                sides.setdefault(getattr(item, key), set()).add(splits[item.item_id])  # type: ignore[arg-type]
        assert all(len(found) == 1 for found in sides.values())


@given(_items)
def test_every_item_of_a_split_was_first_seen_in_its_window(items: list[SplitItem]) -> None:
    splits = assign_splits(items, _WINDOW)

    assert all(splits[item.item_id] in (None, split_of_time(item.first_seen, _WINDOW)) for item in items)


@given(_items)
def test_the_order_of_the_items_does_not_matter(items: list[SplitItem]) -> None:
    assert assign_splits(items[::-1], _WINDOW) == assign_splits(items, _WINDOW)


def _noon(day: int) -> datetime.datetime:
    return datetime.datetime(2026, 11, day, 12, tzinfo=datetime.UTC)
