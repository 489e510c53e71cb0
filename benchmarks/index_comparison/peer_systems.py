"""The peers: hnswlib, usearch and autofaiss as their documentation says to call them, on one thread.

Runs in `.bench-venv`, whose packages `benchmarks/peers.txt` names; nothing of this project but `worker` is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.index_comparison.phases import Phases, batches


class HnswlibSystem:
    """hnswlib: one graph over float32 vectors in RAM."""

    def __init__(self, *, neighbours: int, ef_construction: int) -> None:
        self._neighbours, self._ef_construction = neighbours, ef_construction
        self._index: Any = None

    def build(self, vectors: Any, folder: Path) -> dict[str, float]:
        """See `Searchable`."""
        import hnswlib

        clock = Phases()
        index = hnswlib.Index(space="ip", dim=vectors.shape[1])
        index.init_index(len(vectors), M=self._neighbours, ef_construction=self._ef_construction)
        index.set_num_threads(1)
        for batch in batches(vectors):
            index.add_items(batch)
        index.save_index(str(folder / "index.bin"))
        (folder / "dimension").write_text(str(vectors.shape[1]))
        clock.ends("build")
        return clock.cpu_s

    def open(self, folder: Path) -> tuple[str, ...]:
        """See `Searchable`."""
        import hnswlib

        self._index = hnswlib.Index(space="ip", dim=int((folder / "dimension").read_text()))
        self._index.load_index(str(folder / "index.bin"))
        self._index.set_num_threads(1)
        return ("ef_search",)

    def touch(self) -> None:
        """See `Searchable`. Nothing is mapped."""

    def prepare(self, setting: dict[str, int], allowed: Any) -> None:
        """See `Searchable`."""
        _without_filter(allowed)
        self._index.set_ef(setting["ef_search"])

    def search(self, query: Any, top_k: int) -> Any:
        """See `Searchable`."""
        return self._index.knn_query(query, k=top_k)[0][0]


class UsearchSystem:
    """usearch: one graph over smaller numbers."""

    def __init__(self, *, neighbours: int, ef_construction: int, dtype: str) -> None:
        self._neighbours, self._ef_construction, self._dtype = neighbours, ef_construction, dtype
        self._index: Any = None

    def build(self, vectors: Any, folder: Path) -> dict[str, float]:
        """See `Searchable`."""
        from usearch.index import Index

        clock = Phases()
        index = Index(
            ndim=vectors.shape[1],
            metric="cos",
            dtype=self._dtype,
            connectivity=self._neighbours,
            expansion_add=self._ef_construction,
        )
        start = 0
        for batch in batches(vectors):
            index.add(np.arange(start, start + len(batch)), batch, threads=1)
            start += len(batch)
        index.save(str(folder / "index.usearch"))
        clock.ends("build")
        return clock.cpu_s

    def open(self, folder: Path) -> tuple[str, ...]:
        """See `Searchable`."""
        from usearch.index import Index

        self._index = Index.restore(str(folder / "index.usearch"))
        return ("ef_search",)

    def touch(self) -> None:
        """See `Searchable`. Nothing is mapped."""

    def prepare(self, setting: dict[str, int], allowed: Any) -> None:
        """See `Searchable`."""
        _without_filter(allowed)
        self._index.expansion_search = setting["ef_search"]

    def search(self, query: Any, top_k: int) -> Any:
        """See `Searchable`."""
        return self._index.search(query[0], top_k, threads=1).keys.astype(np.int64)


class AutofaissSystem:
    """autofaiss: it chooses an index for the memory that it may use."""

    def __init__(self, *, bytes_a_vector: int) -> None:
        self._bytes_a_vector = bytes_a_vector
        self._index: Any = None
        self._set: Callable[[str], None] = lambda _: None

    def build(self, vectors: Any, folder: Path) -> dict[str, float]:
        """See `Searchable`. autofaiss reads the vectors from their file itself."""
        from autofaiss import build_index

        memory = f"{max(1, len(vectors) * self._bytes_a_vector // 1_000_000)}MB"
        clock = Phases()
        (folder / "vectors").mkdir(exist_ok=True)
        link = folder / "vectors" / "vectors.npy"
        link.unlink(missing_ok=True)
        link.symlink_to(Path(vectors.filename).resolve())
        build_index(
            embeddings=str(folder / "vectors"),
            index_path=str(folder / "index.faiss"),
            index_infos_path=str(folder / "infos.json"),
            max_index_memory_usage=memory,
            current_memory_available="8GB",
            metric_type="ip",
            nb_cores=1,
            min_nearest_neighbors_to_retrieve=10,
        )
        link.unlink()
        clock.ends("build")
        return clock.cpu_s

    def open(self, folder: Path) -> tuple[str, ...]:
        """See `Searchable`."""
        import faiss

        faiss.omp_set_num_threads(1)
        self._index = faiss.read_index(str(folder / "index.faiss"))
        space: Any = faiss.ParameterSpace()
        self._set = lambda setting: space.set_index_parameters(self._index, setting)
        try:
            faiss.extract_index_ivf(self._index)
            return ("nprobe",)
        except RuntimeError:
            return ("ef_search",) if hasattr(faiss.downcast_index(self._index), "hnsw") else ()

    def touch(self) -> None:
        """See `Searchable`. Nothing is mapped."""

    def prepare(self, setting: dict[str, int], allowed: Any) -> None:
        """See `Searchable`."""
        _without_filter(allowed)
        names = {"ef_search": "efSearch", "nprobe": "nprobe"}
        self._set(",".join(f"{names[name]}={value}" for name, value in setting.items()))

    def search(self, query: Any, top_k: int) -> Any:
        """See `Searchable`."""
        return self._index.search(query, top_k)[1][0]


KINDS: dict[str, Any] = {"hnswlib": HnswlibSystem, "usearch": UsearchSystem, "autofaiss": AutofaissSystem}


def _without_filter(allowed: Any) -> None:
    if allowed is not None:
        raise ValueError("filters are measured for recipes only")
