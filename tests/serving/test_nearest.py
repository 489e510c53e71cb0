"""The nearest groups: what comparing every row says, however large the groups are."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from serving import nearest
from serving.nearest import nearest_groups, nearest_rows
from vitrine.contracts.releases import IndexVersion, RecallFigures
from vitrine.item_table.groups import RowGroups
from vitrine.row_arrays.row_sets import RowSet
from vitrine.row_arrays.sorted_rows import sort_rows
from vitrine.vector_index import INDEX_FILE, VectorIndex

ITEMS, DIMENSION = 2_000, 16


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Rows of a group lie close together, so that the nearest rows of a query are often of one group."""
    generator = np.random.default_rng(3)
    centers = generator.standard_normal((80, DIMENSION))
    drawn = centers[_groups() % 80] + 0.05 * generator.standard_normal((ITEMS, DIMENSION))
    return _unit(drawn)


@pytest.fixture(scope="module", params=["Flat", "HNSW16"])
def index(request: pytest.FixtureRequest, vectors: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> VectorIndex:
    parameters = {"ef_search": 2_000} if request.param.startswith("HNSW") else {}
    return _opened(tmp_path_factory.mktemp("index"), vectors, request.param, parameters)


def test_a_group_of_more_rows_than_a_walk_is_wide_hides_none_of_the_nearest_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the catalog had millions of items: the walk must find the groups, no second search makes up for it.
    monkeypatch.setattr("vitrine.vector_index.index._EXACT_MATCHES", 0)
    monkeypatch.setattr(VectorIndex, "_completed", lambda self, queries, scores, rows, **_: (scores, rows))
    generator = np.random.default_rng(11)
    centers = generator.standard_normal((200, 24))
    drawn = centers[generator.integers(0, 200, 8_000)] + 0.6 * generator.standard_normal((8_000, 24))
    drawn[:300] = drawn[0] + 0.02 * generator.standard_normal((300, 24))
    vectors = _unit(drawn)
    index = _opened(tmp_path, vectors, "HNSW32", {"ef_search": 32})
    groups = np.where(np.arange(8_000) < 300, 0, np.arange(8_000)).astype(np.uint32)

    _, rows = nearest_groups(
        vectors[7], index, RowGroups("image", groups, sort_rows(groups)), top_k=10, allowed=None, own_row=7
    )

    expected = 300 + np.argsort(-vectors[300:] @ vectors[7])[:10]
    assert len(set(rows.tolist()) & set(expected.tolist())) >= 8


def _groups() -> np.ndarray:
    """Groups by their smallest row: one holds half of all rows, most hold one to ten."""
    generator = np.random.default_rng(5)
    drawn = np.where(generator.random(ITEMS) < 0.5, 0, generator.integers(1, 300, ITEMS))
    _, first, places = np.unique(drawn, return_index=True, return_inverse=True)
    return first[places].astype(np.uint32)


@pytest.mark.parametrize("most_rows", [8, 4_096], ids=["asked in small steps", "as it is"])
@pytest.mark.parametrize("share", [None, 0.5, 0.02])
@pytest.mark.parametrize("own_row", [None, 0, 77])
def test_the_nearest_groups_are_those_of_comparing_every_row(
    index: VectorIndex,
    vectors: np.ndarray,
    own_row: int | None,
    share: float | None,
    most_rows: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nearest, "_MOST_ROWS", most_rows)
    groups = _groups()
    opened = RowGroups("image", groups, sort_rows(groups))
    query = vectors[own_row or 0]
    mask = np.ones(ITEMS, dtype=np.bool_) if share is None else np.random.default_rng(7).random(ITEMS) < share

    allowed = None if share is None else RowSet.of_mask(mask)
    scores, rows = nearest_groups(query, index, opened, top_k=30, allowed=allowed, own_row=own_row)

    best: dict[int, float] = {}
    for row in np.flatnonzero(mask).tolist():
        if own_row is None or groups[row] != groups[own_row]:
            best[int(groups[row])] = max(best.get(int(groups[row]), -2.0), float(vectors[row] @ query))
    expected = sorted(best.values(), reverse=True)[:30]
    assert mask[rows].all()
    assert len(set(groups[rows].tolist())) == len(rows) == len(expected)
    assert np.allclose(scores, expected, atol=1e-5)
    assert np.allclose(scores, vectors[rows] @ query, atol=1e-5)


def test_fewer_groups_than_wanted_all_come_back(index: VectorIndex, vectors: np.ndarray) -> None:
    groups = np.where(np.arange(ITEMS) < 1_500, 0, 1_500).astype(np.uint32)
    opened = RowGroups("product", groups, sort_rows(groups))

    _, rows = nearest_groups(vectors[3], index, opened, top_k=10, allowed=None, own_row=None)
    _, others = nearest_groups(vectors[3], index, opened, top_k=10, allowed=None, own_row=3)
    _, none = nearest_groups(
        vectors[3], index, opened, top_k=10, allowed=RowSet.of_ids(np.arange(0), items=ITEMS), own_row=3
    )

    assert sorted(groups[rows].tolist()) == [0, 1_500]
    assert groups[others].tolist() == [1_500]
    assert none.tolist() == []


def test_without_groups_only_the_item_itself_is_left_out(index: VectorIndex, vectors: np.ndarray) -> None:
    scores, rows = nearest_rows(vectors[9], index, top_k=5, allowed=None, own_row=9)

    expected = np.sort(np.delete(vectors @ vectors[9], 9))[::-1][:5]
    assert 9 not in rows
    assert np.allclose(scores, expected, atol=1e-5)


def _opened(folder: Path, vectors: np.ndarray, index_key: str, search_parameters: dict[str, int]) -> VectorIndex:
    (folder / "shard-0000").mkdir()
    built = faiss.index_factory(vectors.shape[1], index_key, faiss.METRIC_INNER_PRODUCT)
    built.add(vectors)
    faiss.write_index(built, str(folder / "shard-0000" / INDEX_FILE))
    manifest = IndexVersion(
        index_version="index-1",
        catalog_id="shop",
        fingerprint="f",
        embedding_set_id="embeddings-1",
        dimension=vectors.shape[1],
        items=len(vectors),
        index_key=index_key,
        search_parameters=search_parameters,
        recall_at_10=RecallFigures(image=None, text=None, queries_image=0, queries_text=0),
        shards=("shard-0000",),
        files=(),
    )
    return VectorIndex.open(folder, manifest)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
