"""Made-up embeddings that are as hard to search as real ones, streamed in blocks, the same each time.

Products lie in families of clusters whose sizes follow a power law. A vector is a point of a latent space of 48
dimensions, bent into all dimensions of the embedding by sines of random directions (random Fourier features: Rahimi and
Recht 2007, which keep the order of near distances), with a little noise in each and a common offset, since embeddings
of one encoder lie in a cone. So the set is of an intrinsic dimension of 30 to 60, as image embeddings are found to be,
and yet no linear projection holds it, as none holds theirs. Picture queries are new points of the same clusters. Text
queries lie off the distribution: at another offset, with more noise, as texts do in a shared space of pictures and
texts. Nothing here is tuned to an index.

`python -m benchmarks.vector_sets` estimates the intrinsic dimension.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import faiss
import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 16_384  # rows that one seeded generator draws: block b is the same whatever was asked for before
_FAMILIES, _CLUSTERS_OF_A_FAMILY = 500, 40
_POWER = 0.9  # the k-th largest family has k^-0.9 of the largest's rows
_IMAGE_QUERIES, _TEXT_QUERIES = 1, 2  # streams of random numbers apart from the rows'


@dataclass(frozen=True)
class VectorSet:
    """A set of unit vectors.

    Attributes:
        rows, dimension: the shape. A larger set begins with the rows of a smaller one.
        latent: dimensions in which clusters differ.
        spread: of a cluster around its center, against centers of length 1.
        bend: radians that a step of length 1 in the latent space turns a sine by; near 0 the embedding is linear.
        noise: length of the noise outside the latent space.
        offset: length of the common offset.
    """

    rows: int
    dimension: int = 512
    seed: int = 7
    latent: int = 48
    spread: float = 0.75
    bend: float = 0.8
    noise: float = 0.3
    offset: float = 0.6

    def blocks(self) -> Iterator[NDArray[np.float16]]:
        """Yields all rows in order: (n, dimension), float16, of unit L2 norm but for rounding."""
        for block, start in enumerate(range(0, self.rows, BLOCK_ROWS)):
            yield self.block(block)[: self.rows - start]

    def batches(self) -> Iterator[NDArray[np.float32]]:
        """Yields all rows as an index takes them: (n, dimension), float32, unit L2 norm."""
        for block in self.blocks():
            yield _unit(block.astype(np.float32))

    def block(self, block: int) -> NDArray[np.float16]:
        """Returns the rows from `block * BLOCK_ROWS` on: (BLOCK_ROWS, dimension), float16, also past the last row."""
        generator = np.random.default_rng([self.seed, 6, block])
        return self._points(
            generator, BLOCK_ROWS, offset=self._offsets[0], spread=self.spread, noise=self.noise
        ).astype(np.float16)

    def sample(self, count: int, *, seed: int = 0) -> NDArray[np.float32]:
        """Returns up to `count` distinct rows drawn over the whole set: (n, dimension), float32, unit L2 norm."""
        drawn = np.random.default_rng([self.seed, 3, seed]).permutation(self.rows)[:count]
        sample = np.empty((len(drawn), self.dimension), dtype=np.float32)
        blocks = drawn // BLOCK_ROWS
        for block in np.unique(blocks):
            places = np.flatnonzero(blocks == block)
            sample[places] = self.block(int(block))[drawn[places] % BLOCK_ROWS]
        return _unit(sample)

    def image_queries(self, count: int) -> NDArray[np.float32]:
        """Returns pictures that are not in the set: (count, dimension), float32, unit L2 norm."""
        generator = np.random.default_rng([self.seed, _IMAGE_QUERIES])
        return self._points(generator, count, offset=self._offsets[0], spread=self.spread, noise=self.noise)

    def text_queries(self, count: int) -> NDArray[np.float32]:
        """Returns texts, off the distribution of the pictures: (count, dimension), float32, unit L2 norm."""
        generator = np.random.default_rng([self.seed, _TEXT_QUERIES])
        return self._points(generator, count, offset=self._offsets[1], spread=1.2 * self.spread, noise=2.0 * self.noise)

    @cached_property
    def _centers(self) -> NDArray[np.float32]:
        """Centers of clusters, grouped about those of their families: (families, clusters, latent)."""
        generator = np.random.default_rng([self.seed, 0])
        families = generator.standard_normal((_FAMILIES, 1, self.latent))
        clusters = generator.standard_normal((_FAMILIES, _CLUSTERS_OF_A_FAMILY, self.latent))
        return ((0.8 * families + 0.6 * clusters) / np.sqrt(self.latent)).astype(np.float32)

    @cached_property
    def _waves(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Directions of the sines in the latent space and their phases: (latent, dimension), (dimension,)."""
        generator = np.random.default_rng([self.seed, 4])
        directions = self.bend * generator.standard_normal((self.latent, self.dimension))
        return directions.astype(np.float32), (2 * np.pi * generator.random(self.dimension)).astype(np.float32)

    @cached_property
    def _offsets(self) -> NDArray[np.float32]:
        """Where pictures and texts lie as a whole: (2, dimension)."""
        generator = np.random.default_rng([self.seed, 5])
        drawn = generator.standard_normal((2, self.dimension))
        return (self.offset * drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)

    @cached_property
    def _family_shares(self) -> NDArray[np.float64]:
        shares = np.arange(1, _FAMILIES + 1) ** -_POWER
        return np.cumsum(shares / shares.sum())

    def _points(
        self, generator: np.random.Generator, count: int, *, offset: NDArray[np.float32], spread: float, noise: float
    ) -> NDArray[np.float32]:
        families = np.searchsorted(self._family_shares, generator.random(count)).clip(max=_FAMILIES - 1)
        # Within a family a few clusters hold most of it, too: squaring a uniform number favours the first.
        clusters = (generator.random(count) ** 2 * _CLUSTERS_OF_A_FAMILY).astype(np.int64)
        latent = generator.standard_normal((count, self.latent), dtype=np.float32)
        latent *= spread / np.sqrt(self.latent)
        latent += self._centers[families, clusters]
        directions, phases = self._waves
        points = np.sin(latent @ directions + phases)  # (count, dimension)
        points *= np.float32(np.sqrt(2 / self.dimension))
        points += (noise / np.sqrt(self.dimension)) * generator.standard_normal(points.shape, dtype=np.float32)
        return _unit(points + offset)


def intrinsic_dimension(vectors: NDArray[np.float32], queries: NDArray[np.float32], *, neighbours: int = 20) -> float:
    """Estimates the intrinsic dimension around some rows from the distances of their neighbours.

    Maximum likelihood (Levina and Bickel 2004, eq. 8), the inverses averaged (MacKay and Ghahramani 2005). Estimates of
    this kind fall short in many dimensions, as even the nearest of a million neighbours lie far away.

    Args:
        vectors: (n, dimension), float32, unit L2 norm.
        queries: (m, dimension), rows of `vectors`.
    """
    squared, _ = faiss.knn(queries, vectors, neighbours + 1)
    distances = np.sqrt(np.maximum(squared[:, 1:], 1e-12))  # (m, neighbours), each row's own left out
    inverses = np.log(distances[:, -1:] / distances[:, :-1]).sum(axis=1) / (neighbours - 1)
    return float(1 / inverses.mean())


def main() -> int:
    """Prints the estimate for sets of rising size."""
    for rows in (100_000, 400_000):
        vectors = np.concatenate(list(VectorSet(rows).batches()))
        print(f"{rows:,} rows: intrinsic dimension {intrinsic_dimension(vectors, vectors[:500]):.1f}", flush=True)
    return 0


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


if __name__ == "__main__":
    sys.exit(main())
