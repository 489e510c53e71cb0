"""One contract for every recipe: train, write, read, encode, merge, build, open, search, filter, several shards."""

from __future__ import annotations

import filecmp
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_builder.recipes import FAMILIES, Recipe, Trained, recipe_of
from index_builder.recipes.code_files import write_codes
from index_builder.recipes.list_merge import fill_lists
from index_builder.recipes.parts import CODES_FILE, LISTS_FILE
from vitrine.errors import ContractError, SettingsError
from vitrine.vector_index import VectorIndex

ITEMS, DIMENSION = 3_000, 64
CUTS = (0, 1_001, 1_003, 2_400, ITEMS)
WIDEST = {"ef_search": ITEMS, "nprobe": ITEMS, "k_factor": 100}
MODEST = {"ef_search": 64, "nprobe": 16, "k_factor": 12}


@dataclass(frozen=True)
class Made:
    """One recipe with what it made: the parts, and a shard merged of them."""

    recipe: Recipe
    trained: Trained
    folder: Path
    index: VectorIndex

    @property
    def parts(self) -> list[Path]:
        return [self.folder / f"part-{start}" for start in CUTS[:-1]]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    generator = np.random.default_rng(1)
    centers = generator.standard_normal((40, DIMENSION))
    return _unit(centers[generator.integers(0, 40, ITEMS)] + 0.8 * generator.standard_normal((ITEMS, DIMENSION)))


@pytest.fixture(scope="module")
def queries(vectors: np.ndarray) -> np.ndarray:
    return _unit(vectors[::100] + 0.05 * np.random.default_rng(2).standard_normal((30, DIMENSION)))


@pytest.fixture(scope="module", params=list(FAMILIES))
def made(request: pytest.FixtureRequest, vectors: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp(request.param)
    recipe = recipe_of(request.param, items=ITEMS, dimension=DIMENSION)
    recipe.train(vectors).write(folder / "quantizer")
    trained = recipe.read(folder / "quantizer")
    for start, stop in pairwise(CUTS):
        assert trained.encode(_batches(vectors[start:stop]), into=folder / f"part-{start}") == stop - start
    made = Made(recipe, trained, folder, None)
    assert trained.merge(made.parts, into=folder / "merged") == ITEMS
    return Made(recipe, trained, folder, VectorIndex.open_folders([folder / "merged"], index_version=request.param))


def test_the_widest_search_finds_what_brute_force_finds(made: Made, vectors: np.ndarray, queries: np.ndarray) -> None:
    scores, rows = made.index.search(queries, top_k=10, parameters=WIDEST)

    assert _recall(rows, vectors, queries) >= (1.0 if made.recipe.name == "flat" else 0.97)
    assert np.all(np.diff(scores, axis=1) <= 1e-6)
    assert np.allclose(scores, np.einsum("nd,nkd->nk", queries, vectors[rows]), atol=0.02)


def test_a_modest_search_finds_most_of_it(made: Made, vectors: np.ndarray, queries: np.ndarray) -> None:
    _, rows = made.index.search(queries, top_k=10, parameters=MODEST)

    assert _recall(rows, vectors, queries) >= 0.8


def test_merged_parts_are_to_the_byte_what_is_built_whole(made: Made, vectors: np.ndarray) -> None:
    made.trained.build(_batches(vectors), into=made.folder / "whole")

    names = sorted(path.name for path in (made.folder / "whole").iterdir())
    assert names == (["index.faiss", "refinement.faiss"] if made.recipe.refines else ["index.faiss"])
    for name in names:
        assert filecmp.cmp(made.folder / "whole" / name, made.folder / "merged" / name, shallow=False)


def test_training_again_gives_the_same_bytes(made: Made, vectors: np.ndarray) -> None:
    made.recipe.train(vectors).write(made.folder / "again")

    for path in (made.folder / "again").rglob("*.*"):
        assert path.read_bytes() == (made.folder / "quantizer" / path.relative_to(made.folder / "again")).read_bytes()


def test_two_shards_answer_as_one(made: Made, vectors: np.ndarray, queries: np.ndarray) -> None:
    made.trained.merge(made.parts[:2], into=made.folder / "first")
    made.trained.merge(made.parts[2:], into=made.folder / "second")
    two = VectorIndex.open_folders([made.folder / "first", made.folder / "second"], index_version="two")
    mask = np.arange(ITEMS) % 2 == 0

    _, rows = two.search(queries, top_k=10, parameters=WIDEST)
    _, filtered = two.search(queries, top_k=10, parameters=WIDEST, allowed=mask)

    assert two.items == ITEMS
    assert _recall(rows, vectors, queries) >= (1.0 if made.recipe.name == "flat" else 0.97)
    assert mask[filtered].all()
    assert two.reconstruct(CUTS[2] + 5) @ vectors[CUTS[2] + 5] > 0.999


@pytest.mark.parametrize("exact_matches", [0, 20_000])  # 0: as if the catalog had millions of items
@pytest.mark.parametrize("matches", [1, 9, 10, 11, 60, 300, 1_500, 2_999])
def test_a_filter_fills_top_k_whenever_so_many_items_match(
    made: Made, queries: np.ndarray, matches: int, exact_matches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitrine.vector_index.index._EXACT_MATCHES", exact_matches)
    allowed = np.random.default_rng(matches).permutation(ITEMS)[:matches]

    scores, rows = made.index.search(queries, top_k=10, allowed=allowed, parameters=MODEST)

    assert np.all((rows >= 0).sum(axis=1) == min(10, matches))
    assert np.isin(rows[rows >= 0], allowed).all()
    assert all(len(set(answer[answer >= 0])) == min(10, matches) for answer in rows)
    assert np.isneginf(scores[rows < 0]).all()


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_a_filter_costs_little_recall(
    made: Made, vectors: np.ndarray, queries: np.ndarray, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitrine.vector_index.index._EXACT_MATCHES", 0)
    mask = np.random.default_rng(5).random(ITEMS) < share
    _, unfiltered = made.index.search(queries, top_k=10, parameters=MODEST)

    _, rows = made.index.search(queries, top_k=10, allowed=mask, parameters=MODEST)

    assert mask[rows].all()
    assert _recall(rows, vectors, queries, mask=mask) >= 0.95 * _recall(unfiltered, vectors, queries)


def test_searches_with_different_filters_never_meet(made: Made, queries: np.ndarray) -> None:
    wrong = []

    def search(remainder: int) -> None:
        mask = np.arange(ITEMS) % 4 == remainder
        for _ in range(10):
            _, rows = made.index.search(queries[:4], top_k=10, allowed=mask, parameters=MODEST)
            if not np.all(rows % 4 == remainder):
                wrong.append(remainder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitrine.vector_index.index._EXACT_MATCHES", 0)
        threads = [threading.Thread(target=search, args=(remainder,)) for remainder in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert wrong == []


def test_rows_give_their_vectors_back(made: Made, vectors: np.ndarray) -> None:
    for row in (0, 1_002, ITEMS - 1):
        assert made.index.reconstruct(row) @ vectors[row] > 0.999


def test_a_search_without_rows_finds_nothing(made: Made, queries: np.ndarray) -> None:
    assert made.trained.merge([], into=made.folder / "empty") == 0

    scores, rows = VectorIndex.open_folders([made.folder / "empty"], index_version="empty").search(queries, top_k=3)

    assert (rows == -1).all()
    assert np.isneginf(scores).all()


def test_a_quantizer_of_another_recipe_is_refused(made: Made) -> None:
    other = recipe_of("IVF7,SQ8", items=ITEMS, dimension=DIMENSION)

    with pytest.raises(ContractError, match="expected a quantizer of IVF7,SQ8"):
        other.read(made.folder / "quantizer")


def test_parts_that_are_torn_or_of_another_quantizer_are_refused(vectors: np.ndarray, tmp_path: Path) -> None:
    trained = recipe_of("IVF8,RaBitQfs,Refine(SQ8)", items=ITEMS, dimension=DIMENSION).train(vectors)
    trained.encode(_batches(vectors[:50]), into=tmp_path / "torn")
    trained.encode(_batches(vectors[:50]), into=tmp_path / "foreign")
    (tmp_path / "torn" / CODES_FILE).write_bytes((tmp_path / "torn" / CODES_FILE).read_bytes()[:-3])
    np.full(50, 8, dtype=np.int32).tofile(tmp_path / "foreign" / LISTS_FILE)

    with pytest.raises(ContractError, match="encode the part again"):
        trained.merge([tmp_path / "torn"], into=tmp_path / "shard")
    with pytest.raises(ContractError, match="another quantizer"):
        trained.merge([tmp_path / "foreign"], into=tmp_path / "shard")
    with pytest.raises(ContractError, match="found none"):
        trained.merge([tmp_path / "missing"], into=tmp_path / "shard")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("HNSW32,Nonsense", "factory string"),
        ("IVF4,PQ16x4fs", "append"),
        ("IDMap,Flat", "expected lists"),
        ("PQ8", r"expected lists .* found IndexPQ; name one of"),
        ("PQ16x4fs", r"expected lists .* found IndexPQFastScan; name one of"),
        ("RaBitQ", r"expected lists .* found IndexRaBitQ; name one of"),
        ("", "neither"),
    ],
)
def test_a_key_that_no_recipe_makes_is_refused(key: str, reason: str, vectors: np.ndarray) -> None:
    with pytest.raises(SettingsError, match=reason):
        recipe_of(key, items=ITEMS, dimension=DIMENSION).train(vectors)


@pytest.mark.parametrize(
    ("key", "least"), [("opq-ivf-pq", 256), ("ivf-pq", 16), ("IVF64,SQ8", 64), ("HNSW16,PQ8", 256)]
)
def test_too_few_rows_to_train_on_are_refused_with_how_many_it_takes(key: str, least: int, vectors: np.ndarray) -> None:
    recipe = recipe_of(key, items=least - 1, dimension=DIMENSION)

    with pytest.raises(
        SettingsError, match=rf"expected at least {least} rows to train it on, found {least - 1}; .*flat"
    ):
        recipe.train(vectors[: least - 1])


def test_a_streamed_file_that_faiss_cannot_open_is_refused(vectors: np.ndarray, tmp_path: Path) -> None:
    index = faiss.index_factory(DIMENSION, "PQ8x4", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)

    with pytest.raises(ContractError, match="expected a file of IndexPQ that opens"):
        write_codes(index, [index.sa_encode(vectors).tobytes()], tmp_path / "index.faiss")


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, ITEMS), max_size=6), key=st.sampled_from(["RaBitQfs", "PQ16x4fs", "SQ8"]))
def test_lists_filled_from_any_parts_are_those_that_faiss_fills_itself(
    blocks: dict[str, tuple[object, np.ndarray]], tmp_path_factory: pytest.TempPathFactory, cuts: list[int], key: str
) -> None:
    trained, encoded = blocks[key]
    folder = tmp_path_factory.mktemp("cuts")
    bounds = sorted({0, *cuts, ITEMS})
    parts = [folder / str(start) for start in bounds[:-1]]
    for part, start, stop in zip(parts, bounds, bounds[1:], strict=False):
        part.mkdir()
        encoded[start:stop, 0].astype(np.int32).tofile(part / LISTS_FILE)
        encoded[start:stop, 1:].tofile(part / CODES_FILE)
    filled = faiss.clone_index(trained)

    fill_lists(filled, parts)

    assert faiss.serialize_index(filled).tobytes() == blocks[key + " added"][1].tobytes()


@pytest.fixture(scope="module")
def blocks(vectors: np.ndarray) -> dict[str, tuple[object, np.ndarray]]:
    """By key: the trained index and all rows encoded; and the bytes of the index that faiss added the rows to."""
    found: dict[str, tuple[object, np.ndarray]] = {}
    faiss.omp_set_num_threads(1)
    for key in ("RaBitQfs", "PQ16x4fs", "SQ8"):
        index = faiss.index_factory(DIMENSION, f"IVF2,{key}", faiss.METRIC_INNER_PRODUCT)
        index.train(vectors)
        found[key] = (faiss.clone_index(index), index.sa_encode(vectors))
        index.add(vectors)
        found[key + " added"] = (None, faiss.serialize_index(index))
    return found


def _batches(vectors: np.ndarray) -> Iterator[np.ndarray]:
    yield from np.array_split(vectors, max(1, len(vectors) // 700))


def _recall(rows: np.ndarray, vectors: np.ndarray, queries: np.ndarray, *, mask: np.ndarray | None = None) -> float:
    scores = queries @ vectors.T
    if mask is not None:
        scores[:, ~mask] = -np.inf
    exact = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    return float(np.mean([len(set(found) & set(right)) / 10 for found, right in zip(rows, exact, strict=True)]))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
