"""Row sets: the same rows whether they are held as ids or as bits."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.row_sets import RowSet, every_row

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
