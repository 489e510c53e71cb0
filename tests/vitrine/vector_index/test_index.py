"""One contract for every recipe: build, save, map, search, filter; and exactness where the recipe is exact."""

from __future__ import annotations

import threading
from pathlib import Path

import faiss
import numpy as np
import pytest

from vitrine.contracts.releases import IndexVersion, RecallFigures
from vitrine.errors import ContractError
from vitrine.vector_index import VectorIndex

ITEMS, DIMENSION = 3_000, 24
RECIPES = {"Flat": {}, "SQfp16": {}, "HNSW32,SQ8": {"ef_search": 64}, "IVF32,SQ8": {"nprobe": 8}}


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return _unit(np.random.default_rng(1).standard_normal((ITEMS, DIMENSION)))


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    return _unit(np.random.default_rng(2).standard_normal((30, DIMENSION)))


@pytest.fixture(scope="module", params=list(RECIPES))
def index(request: pytest.FixtureRequest, vectors: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> VectorIndex:
    return _index(tmp_path_factory.mktemp("index"), vectors, request.param)


def test_answers_are_those_of_brute_force(index: VectorIndex, vectors: np.ndarray, queries: np.ndarray) -> None:
    scores, rows = index.search(queries, top_k=10)

    exact = np.argsort(-queries @ vectors.T, axis=1, kind="stable")[:, :10]
    recall = np.mean([len(set(found) & set(right)) / 10 for found, right in zip(rows, exact, strict=True)])
    assert recall >= {"Flat": 1.0}.get(_recipe(index), 0.75)
    assert np.all(np.diff(scores, axis=1) <= 1e-6)
    assert np.allclose(scores, np.einsum("nd,nkd->nk", queries, vectors[rows]), atol=0.02)


@pytest.mark.parametrize("matches", [1, 9, 10, 11, 60, 300, 1_500, 2_999])
def test_a_filter_fills_top_k_whenever_so_many_items_match(
    index: VectorIndex, queries: np.ndarray, matches: int
) -> None:
    allowed = np.random.default_rng(matches).permutation(ITEMS)[:matches]

    scores, rows = index.search(queries, top_k=10, allowed=allowed)

    found = (rows >= 0).sum(axis=1)
    assert np.all(found == min(10, matches))
    assert np.isin(rows[rows >= 0], allowed).all()
    assert all(len(set(answer[answer >= 0])) == min(10, matches) for answer in rows)
    assert np.isneginf(scores[rows < 0]).all()


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_a_filter_that_is_answered_by_the_graph_fills_top_k_too(
    index: VectorIndex, vectors: np.ndarray, queries: np.ndarray, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitrine.vector_index.index._EXACT_MATCHES", 0)  # as if the catalog had millions of items
    mask = np.random.default_rng(5).random(ITEMS) < share

    _, rows = index.search(queries, top_k=10, allowed=mask)

    allowed = np.flatnonzero(mask)
    exact = allowed[np.argsort(-queries @ vectors[allowed].T, axis=1)[:, :10]]
    recall = np.mean([len(set(found) & set(right)) / 10 for found, right in zip(rows, exact, strict=True)])
    assert np.all(rows >= 0)
    assert mask[rows].all()
    assert recall >= 0.75


def test_few_matches_are_compared_exactly(index: VectorIndex, vectors: np.ndarray, queries: np.ndarray) -> None:
    allowed = np.arange(0, ITEMS, 40)

    _, rows = index.search(queries, top_k=5, allowed=allowed)

    exact = allowed[np.argsort(-queries @ vectors[allowed].T, axis=1)[:, :5]]
    assert np.mean(rows[:, 0] == exact[:, 0]) >= 0.95  # 8 bits may turn a near tie


def test_more_than_there_is_ends_with_minus_one(index: VectorIndex, queries: np.ndarray) -> None:
    scores, rows = index.search(queries[:1], top_k=ITEMS + 5)

    assert (rows[0] >= 0).sum() == ITEMS
    assert sorted(rows[0, :ITEMS]) == list(range(ITEMS))
    assert np.isneginf(scores[0, ITEMS:]).all()


def test_searches_with_different_filters_never_meet(index: VectorIndex, queries: np.ndarray) -> None:
    faiss.omp_set_num_threads(1)
    wrong = []

    def search(remainder: int) -> None:
        mask = np.arange(ITEMS) % 4 == remainder
        for _ in range(15):
            _, rows = index.search(queries[:4], top_k=10, allowed=mask)
            if not np.all(rows % 4 == remainder):
                wrong.append(remainder)

    threads = [threading.Thread(target=search, args=(remainder,)) for remainder in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_row_gives_its_vector_back(index: VectorIndex, vectors: np.ndarray) -> None:
    for row in (0, 1_234, ITEMS - 1):
        vector = index.reconstruct(row)

        assert vector @ vectors[row] > 0.999
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_touching_reads_the_whole_file(vectors: np.ndarray, tmp_path: Path) -> None:
    index = _index(tmp_path, vectors[:100], "Flat")

    assert index.touch() == (tmp_path / "shard-0000" / "index.faiss").stat().st_size


def test_wrong_shapes_and_rows_are_refused(index: VectorIndex, queries: np.ndarray) -> None:
    with pytest.raises(ContractError, match=r"\(n, 24\)"):
        index.search(queries[:, :5], top_k=3)
    with pytest.raises(ContractError, match="mask"):
        index.search(queries, top_k=3, allowed=np.ones(5, dtype=bool))
    with pytest.raises(ContractError, match="top_k"):
        index.search(queries, top_k=0)
    with pytest.raises(ContractError, match="row"):
        index.reconstruct(ITEMS)


def test_a_file_that_is_not_the_manifests_index_is_refused(vectors: np.ndarray, tmp_path: Path) -> None:
    _index(tmp_path, vectors[:100], "Flat")

    with pytest.raises(ContractError, match="expected 99 rows"):
        VectorIndex.open(tmp_path, _manifest("Flat", items=99))
    (tmp_path / "shard-0000" / "index.faiss").write_bytes(b"nothing of an index")
    with pytest.raises(ContractError, match="not an index"):
        VectorIndex.open(tmp_path, _manifest("Flat", items=100))
    (tmp_path / "shard-0000" / "index.faiss").unlink()
    with pytest.raises(ContractError, match="found none"):
        VectorIndex.open(tmp_path, _manifest("Flat", items=100))


def _index(folder: Path, vectors: np.ndarray, recipe: str) -> VectorIndex:
    built = faiss.index_factory(DIMENSION, recipe, faiss.METRIC_INNER_PRODUCT)
    built.train(vectors)
    built.add(vectors)
    (folder / "shard-0000").mkdir()
    faiss.write_index(built, str(folder / "shard-0000" / "index.faiss"))
    return VectorIndex.open(folder, _manifest(recipe, items=len(vectors)))


def _manifest(recipe: str, *, items: int) -> IndexVersion:
    return IndexVersion(
        index_version=recipe,
        catalog_id="c",
        fingerprint="f",
        embedding_set_id="e",
        dimension=DIMENSION,
        items=items,
        index_key=recipe,
        search_parameters=RECIPES[recipe],
        recall_at_10=RecallFigures(image=None, text=None, queries_image=0, queries_text=0),
        shards=("shard-0000",),
        files=(),
    )


def _recipe(index: VectorIndex) -> str:
    return index.index_version


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
