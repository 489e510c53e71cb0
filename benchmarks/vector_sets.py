"""Made-up embeddings that are as hard to search as real ones, streamed in blocks, the same each time.

Products lie in families of clusters whose sizes follow a power law. A vector is a point of a latent space of 48
dimensions (between the 30 and 60 that image embeddings are found to have), mixed linearly into all dimensions of the
embedding, with a little noise in each and a common offset, since embeddings of one encoder lie in a cone. Picture
queries are new points of the same clusters. Text queries lie off the distribution: at another offset, with more noise,
as texts do in a shared space of pictures and texts. Nothing here is tuned to an index.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

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
        noise: length of the noise outside the latent space.
        offset: length of the common offset.
    """

    rows: int
    dimension: int = 512
    seed: int = 7
    latent: int = 48
    spread: float = 0.7
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
    def _mixing(self) -> NDArray[np.float32]:
        """Rotates the latent space into the embedding: (latent, dimension). Its directions differ in strength."""
        generator = np.random.default_rng([self.seed, 4])
        orthonormal = np.linalg.qr(generator.standard_normal((self.dimension, self.latent)))[0].T
        strengths = np.linspace(1.4, 0.6, self.latent)[:, None]
        return (strengths * orthonormal).astype(np.float32)

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
        points = latent @ self._mixing
        points += (noise / np.sqrt(self.dimension)) * generator.standard_normal(points.shape, dtype=np.float32)
        return _unit(points + offset)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
