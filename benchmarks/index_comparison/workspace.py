"""The folder of one comparison: vectors, queries, exact answers, filters and built indexes, kept between runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.index_comparison.ground_truth import exact_rows
from vitrine.files.whole import whole_file

DISTRIBUTIONS = ("image", "text")
KEPT = {"50%": 0.5, "10%": 0.1, "1%": 0.01, "0.1%": 0.001}
NEAR = "10%, near one item"  # rows that lie together, as those of a category do: harder, since most queries lie apart
FILTERED_QUERIES = 200
_SEED = 20_261_101


@dataclass(frozen=True)
class Workspace:
    """Files of one comparison under `folder`."""

    folder: Path

    @property
    def vectors(self) -> Path:
        """(n, dimension), float16."""
        return self.folder / "vectors.npy"

    @property
    def log(self) -> Path:
        """What the processes of the systems print."""
        return self.folder / "systems.log"

    def array(self, name: str) -> NDArray[np.float16]:
        """Maps an array by its name."""
        mapped: NDArray[np.float16] = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        return mapped

    def path(self, name: str) -> Path:
        """Where an array lies."""
        return self.folder / f"{name}.npy"

    def system_folder(self, name: str) -> Path:
        """Where the index of a system lies."""
        return self.folder / "systems" / name

    def has(self, *names: str) -> bool:
        """Whether these arrays are there: each is written under another name first."""
        return all(self.path(name).exists() for name in names)

    def write_vectors(self, blocks: Iterable[NDArray[np.float16]], *, rows: int, dimension: int) -> None:
        """Streams vectors to disk, one block in memory."""
        with whole_file(self.vectors) as partial:
            mapped = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=(rows, dimension))
            start = 0
            for block in blocks:
                mapped[start : start + len(block)] = block
                start += len(block)
            mapped.flush()

    def write_queries(
        self, draw: Callable[[str, int], NDArray[np.float32]], *, tuning: int, measured: int, say: Callable[[str], None]
    ) -> None:
        """Draws queries to tune with and others to measure with, filters, and the exact answers to all.

        Args:
            draw: returns as many queries of a distribution, or fewer where there are no more.
        """
        queries: dict[str, NDArray[np.float32]] = {}
        for distribution in DISTRIBUTIONS:
            drawn = draw(distribution, tuning + measured)
            if len(drawn) < 2:
                continue
            split = len(drawn) * tuning // (tuning + measured)
            queries[f"{distribution}-tuning"], queries[distribution] = drawn[:split], drawn[split:]
        vectors = np.load(self.vectors, mmap_mode="r")
        masks = _masks(vectors)
        filtered = {f"image-{name}": queries["image"][:FILTERED_QUERIES] for name in masks}
        say(f"exact answers of {sum(map(len, queries.values()))} queries")
        truths = exact_rows(
            vectors, queries | filtered, allowed={f"image-{name}": mask for name, mask in masks.items()}
        )
        for name, mask in masks.items():
            self._save(f"mask-{name}", mask)
        for name, truth in truths.items():
            self._save(f"truth-{name}", truth)
        for name, asked in queries.items():
            self._save(f"queries-{name}", asked)

    def _save(self, name: str, array: NDArray[np.float32] | NDArray[np.int64] | NDArray[np.bool_]) -> None:
        with whole_file(self.path(name)) as partial, partial.open("wb") as stream:
            np.save(stream, array)


def _masks(vectors: NDArray[np.float16]) -> dict[str, NDArray[np.bool_]]:
    """Returns filters: rows drawn at random, and a tenth of the rows that lies together."""
    generator = np.random.default_rng(_SEED)
    rows = len(vectors)
    masks = {name: generator.permutation(rows) < max(1, round(kept * rows)) for name, kept in KEPT.items()}
    item = vectors[int(generator.integers(rows))].astype(np.float32)
    scores = np.concatenate([vectors[at : at + 65_536].astype(np.float32) @ item for at in range(0, rows, 65_536)])
    masks[NEAR] = scores >= np.partition(scores, rows - max(1, rows // 10))[rows - max(1, rows // 10)]
    return masks
