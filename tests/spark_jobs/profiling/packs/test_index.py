"""The pack index: every location is found, and a day reads few listings however many days there were."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_jobs.deliveries.recording import record_delivery
from spark_jobs.profiling.candidate_batches import packed_schema
from spark_jobs.profiling.job import run_profile_job
from spark_jobs.profiling.packs import index as pack_index
from spark_jobs.profiling.packs.index import MERGED_AT, extend_pack_index, read_pack_index
from spark_jobs.profiling.packs.listings import Listing, put_listing, read_listing
from tests.spark_jobs.delivered_folder import DT, candidate_rows, declare, small_delivery
from vitrine.ledger import Ledger
from vitrine.ledger.attempts import Attempts
from vitrine.settings import Settings
from vitrine.storage import ObjectStore


def locations(numbers: Iterator[int] | range | list[int]) -> pa.Table:
    """A location for each number."""
    rows = [
        {"image_sha256": hash_of(n), "pack_id": f"pack-{n}", "image_offset": n, "row_group": n % 3} for n in numbers
    ]
    return pa.Table.from_pylist(rows, packed_schema())


def hash_of(number: int) -> str:
    """The hash of a made image."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def found(store: ObjectStore, listings: list[Listing], numbers: list[int] | None = None) -> list[dict[str, Any]]:
    """The locations that listings tell of, in order of the hashes."""
    sought = None if numbers is None else sorted(map(hash_of, numbers))
    batches = [batch for listing in listings for batch in read_listing(store, listing.key, sought=sought)]
    return pa.Table.from_batches(batches, packed_schema()).sort_by("image_sha256").to_pylist()


@contextmanager
def counted_bytes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The sizes of what is read of listings inside the block, one for each request."""
    read: list[int] = []
    original = ObjectStore.get_bytes

    def get_bytes(self: ObjectStore, key: str, **options: Any) -> bytes:
        data = original(self, key, **options)
        if "/pack_listings/" in key:
            read.append(len(data))
        return data

    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "get_bytes", get_bytes)
        yield read


def test_what_was_added_is_found_whole_and_by_its_hashes(
    object_store: ObjectStore, ledger: Ledger, catalog_id: str
) -> None:
    for day in range(30):
        added = put_listing(object_store, locations(range(5 * day, 5 * day + 5)), prefix=f"{catalog_id}/p/{day}")
        extend_pack_index(ledger, object_store, catalog_id, added=[added])

    listings = read_pack_index(ledger, object_store, catalog_id)

    everything = locations(range(150)).sort_by("image_sha256").to_pylist()
    assert found(object_store, listings) == everything
    assert (
        found(object_store, listings, [3, 77, 149, 1_000])
        == locations([3, 77, 149]).sort_by("image_sha256").to_pylist()
    )
    assert len(listings) < 3 * MERGED_AT


def test_of_a_large_listing_only_the_row_groups_near_the_hashes_are_read(
    object_store: ObjectStore, catalog_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spark_jobs.profiling.packs.listings.GROUP_ROWS", 100)
    listing = put_listing(object_store, locations(range(20_000)), prefix=f"{catalog_id}/p")
    size = object_store.size_bytes(listing.key)

    with counted_bytes(monkeypatch) as read:
        assert [row["image_offset"] for row in found(object_store, [listing], [4_711])] == [4_711]

    assert sum(read) < size / 4


@given(st.lists(st.integers(1, 30_000_000), max_size=80))
def test_merging_ends_loses_nothing_and_leaves_few_of_a_size(sizes: list[int]) -> None:
    standing = sorted(((Listing(f"l{number}", rows),) for number, rows in enumerate(sizes)), key=pack_index._rows)
    rounds = 0
    while (group := pack_index._to_merge(standing)) is not None:
        rounds += 1
        merged = (Listing(f"m{rounds}", sum(map(pack_index._rows, group))),)
        assert pack_index._rows(merged) <= pack_index.MERGED_ROWS
        standing = sorted([*(run for run in standing if run not in group), merged], key=pack_index._rows)

    assert sum(map(pack_index._rows, standing)) == sum(sizes)
    small = [run for run in standing if pack_index._rows(run) <= pack_index.MERGED_ROWS // MERGED_AT**2]
    assert len(small) <= 11 * (MERGED_AT - 1)


def test_a_large_run_is_cut_by_ranges_of_the_hashes_and_a_day_meets_few_of_them(
    object_store: ObjectStore, ledger: Ledger, catalog_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_index, "SHARD_ROWS", 500)
    added = [
        put_listing(object_store, locations(range(1_000 * day, 1_000 * day + 1_000)), prefix=f"{catalog_id}/p/{day}")
        for day in range(MERGED_AT)
    ]

    extend_pack_index(ledger, object_store, catalog_id, added=added)
    listings = read_pack_index(ledger, object_store, catalog_id)

    assert len(listings) == 8
    ordered = sorted(listings, key=lambda listing: listing.first)
    assert all(one.last < other.first for one, other in pairwise(ordered))
    assert sum(listing.may_hold([hash_of(7)]) for listing in listings) == 1
    everything = locations(range(4_000)).sort_by("image_sha256").to_pylist()
    assert found(object_store, listings) == everything
    assert found(object_store, ordered[2:3]) == [
        row for row in everything if ordered[2].first <= row["image_sha256"] <= ordered[2].last
    ]


def test_profiles_that_end_at_once_each_add_what_they_packed(
    object_store: ObjectStore, ledger: Ledger, catalog_id: str
) -> None:
    added = [put_listing(object_store, locations([number]), prefix=f"{catalog_id}/p/{number}") for number in range(12)]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda one: extend_pack_index(ledger, object_store, catalog_id, added=[one]), added))

    listings = read_pack_index(ledger, object_store, catalog_id)
    assert {row["image_offset"] for row in found(object_store, listings, list(range(12)))} == set(range(12))


def test_a_platform_from_before_the_index_finds_what_its_profiles_listed(
    object_store: ObjectStore, ledger: Ledger, catalog_id: str
) -> None:
    for day, name in ((1, "listings"), (2, "parts")):
        listing = put_listing(object_store, locations([day]), prefix=f"{catalog_id}/old/{day}")
        parts = [{"key": listing.key, "rows": 1, "sha256": ""}]
        result = {"parts": parts} | ({"listings": [listing.key]} if name == "listings" else {})
        ledger.attempts.commit(
            scope="profile", key=f"{catalog_id}/delivery-{day}/p", attempt_id=f"a{day}", result=result
        )

    before = read_pack_index(ledger, object_store, catalog_id)
    assert ledger.attempts.committed(scope="pack_index", key=catalog_id) is not None  # later days need not look back
    new = put_listing(object_store, locations([3]), prefix=f"{catalog_id}/new")
    extend_pack_index(ledger, object_store, catalog_id, added=[new])
    after = read_pack_index(ledger, object_store, catalog_id)

    assert sorted(row["image_offset"] for row in found(object_store, before)) == [1, 2]
    assert sorted(row["image_offset"] for row in found(object_store, after)) == [1, 2, 3]


def test_a_day_after_many_days_reads_about_as_much_as_one_after_few(
    settings: Settings,
    object_store: ObjectStore,
    ledger: Ledger,
    catalog_id: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("spark_jobs.profiling.packs.listings.GROUP_ROWS", 128)
    declare(settings, catalog_id)
    read_after = []
    day = 0
    for days in (30, 120):  # benchmarks/long_history.py goes to 1,000
        while day < days:  # what a profile of a day leaves
            prefix = f"{catalog_id}/pack_listings/{day}"
            added = put_listing(object_store, locations(range(400 * day, 400 * day + 400)), prefix=prefix)
            extend_pack_index(ledger, object_store, catalog_id, added=[added])
            day += 1
        folder = small_delivery(tmp_path / str(days), first_seed=days)
        delivery_id = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=str(folder))
        with counted_bytes(monkeypatch) as read:
            run_profile_job(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)
        read_after.append((len(read), sum(read)))

    (requests, size_bytes), (more_requests, more_bytes) = read_after
    assert 0 < more_requests < 3 * requests
    assert 0 < more_bytes < 2.5 * size_bytes
    assert len(read_pack_index(ledger, object_store, catalog_id)) < 16


def test_a_profile_killed_between_the_index_and_its_commit_is_run_again_to_the_same_end(
    settings: Settings,
    object_store: ObjectStore,
    ledger: Ledger,
    catalog_id: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalog = declare(settings, catalog_id)
    day = {"catalog_id": catalog_id, "dt": DT}
    delivery_id = record_delivery(settings, **day, source=str(small_delivery(tmp_path)))

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("vitrine.ledger.attempts.Attempts.commit", _dying_on_a_profile(die))
        run_profile_job(settings, **day, delivery_id=delivery_id)
    packs = list(object_store.list_keys(f"{catalog_id}/images/"))
    run_profile_job(settings, **day, delivery_id=delivery_id)

    rows = candidate_rows(settings, ledger, object_store, catalog, delivery_id)
    assert packs and list(object_store.list_keys(f"{catalog_id}/images/")) == packs
    assert [row["reject_reason"] for row in rows] == [None] * 6
    assert all(row["pack_id"] for row in rows)


def _dying_on_a_profile(die: Callable[..., None]) -> Callable[..., Any]:
    original = Attempts.commit

    def commit(self: Attempts, *, scope: str, **options: Any) -> Any:
        return die() if scope == "profile" else original(self, scope=scope, **options)

    return commit
