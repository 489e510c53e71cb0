"""Row sets: the same rows whether they are held as ids or as bits."""

from __future__ import annotations

import tracemalloc

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.row_arrays.row_sets import RowSet, every_row

MASKS = st.lists(st.booleans(), max_size=200).map(lambda marks: np.array(marks, dtype=np.bool_))


@given(mask=MASKS)
def test_ids_bits_and_mask_say_the_same(mask: np.ndarray) -> None:
    by_bits = RowSet.of_mask(mask)
    by_ids = RowSet.of_ids(np.flatnonzero(mask), items=len(mask))

    for rows in (by_bits, by_ids):
        assert rows.count == mask.sum()
        assert rows.ids.tolist() == np.flatnonzero(mask).tolist()
        assert rows.mask().tolist() == mask.tolist()
        assert len(rows.bits) % 8 == 0
    assert by_bits.bits.tolist() == by_ids.bits.tolist()


@given(mask=MASKS.filter(len), seed=st.integers(0, 99))
def test_a_set_says_of_any_rows_whether_it_holds_them(mask: np.ndarray, seed: int) -> None:
    asked = np.random.default_rng(seed).integers(0, len(mask), (3, 5))

    for rows in (RowSet.of_mask(mask), RowSet.of_ids(np.flatnonzero(mask), items=len(mask))):
        assert rows.contains(asked).tolist() == mask[asked].tolist()


@given(mask=MASKS, seed=st.integers(0, 99))
def test_a_set_less_some_rows_and_what_two_sets_share(mask: np.ndarray, seed: int) -> None:
    other = np.random.default_rng(seed).random(len(mask)) < 0.5
    rows = np.flatnonzero(other)

    for one in (RowSet.of_mask(mask), RowSet.of_ids(np.flatnonzero(mask), items=len(mask))):
        assert one.without(rows).mask().tolist() == (mask & ~other).tolist()
        assert (one & RowSet.of_mask(other)).ids.tolist() == np.flatnonzero(mask & other).tolist()


@given(mask=MASKS, first=st.integers(0, 40), count=st.integers(0, 40))
def test_bits_of_a_shards_rows_begin_with_its_first_row(mask: np.ndarray, first: int, count: int) -> None:
    first = min(first, len(mask))
    count = min(count, len(mask) - first)

    bits = RowSet.of_mask(mask).bits_of(first, count)

    assert np.unpackbits(bits, bitorder="little")[:count].tolist() == mask[first : first + count].tolist()
    for rows in (RowSet.of_mask(mask), RowSet.of_ids(np.flatnonzero(mask), items=len(mask))):
        assert rows.count_of(first, count) == mask[first : first + count].sum()


@given(mask=MASKS.filter(len), seed=st.integers(0, 99), whole=st.booleans(), first=st.integers(0, 40))
def test_rows_that_are_left_out_by_and_by_are_out_whatever_is_asked(
    mask: np.ndarray, seed: int, whole: bool, first: int
) -> None:
    """The old way is the reference: a mask of every row, changed and packed again each time."""
    draw = np.random.default_rng(seed)
    expected = np.ones(len(mask), dtype=np.bool_) if whole else mask.copy()
    found = every_row(len(mask)) if whole else RowSet.of_mask(mask)

    for _ in range(3):
        rows = draw.integers(0, len(mask), draw.integers(0, 4))
        expected[rows] = False
        found = found.without(rows)

    first = min(first, len(mask) - 1)
    count = int(draw.integers(1, len(mask) - first + 1))
    asked = draw.integers(0, len(mask), (2, 5))
    bits, left_out = found.parts_of(first, count)
    through = np.ones(count, dtype=np.bool_) if bits is None else np.unpackbits(bits, bitorder="little")[:count] == 1
    assert np.all(through[left_out])
    through[left_out] = False
    assert through.tolist() == expected[first : first + count].tolist()
    assert found.bits.tolist() == RowSet.of_mask(expected).bits.tolist()
    assert (found.count, found.ids.tolist()) == (expected.sum(), np.flatnonzero(expected).tolist())
    assert found.count_of(first, count) == expected[first : first + count].sum()
    assert found.contains(asked).tolist() == expected[asked].tolist()


def test_leaving_rows_out_of_a_large_catalog_costs_what_the_rows_do() -> None:
    items = 100_000_000
    tracemalloc.start()
    try:
        found = every_row(items)
        for start in range(0, 60, 20):
            found = found.without(np.arange(start, start + 20) * 1_000_000)
        found.count_of(0, items // 2), found.parts_of(0, items), found.contains(np.arange(64))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert found.count == items - 60
    assert most < 100_000  # bytes; a mask of all rows is 100 MB


def test_a_set_that_threads_share_cannot_be_changed() -> None:
    for rows in (every_row(10), RowSet.of_ids(np.arange(3), items=10)):
        with pytest.raises(ValueError, match="read-only"):
            rows.bits[0] = 0 if rows.count == 10 else rows.ids.__setitem__(0, 9)


def test_faiss_reads_the_bits() -> None:
    vectors = np.eye(40, dtype=np.float32)
    index = faiss.IndexFlatIP(40)
    index.add(vectors)
    rows = RowSet.of_ids(np.array([3, 8, 39]), items=40)

    parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(rows.bits))
    _, found = index.search(np.ones((1, 40), dtype=np.float32), 4, params=parameters)

    assert sorted(found[0].tolist()) == [-1, 3, 8, 39]
