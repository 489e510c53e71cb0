"""Golden queries asked of a release: encoded with its own encoder, answered by its own index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.contracts.releases import GoldenQuery, GoldenSet
from vitrine.encoder.query_encoder import open_encoder
from vitrine.errors import ContractError
from vitrine.images.altered import alter_picture, read_picture
from vitrine.releases.golden import holding_queries
from vitrine.releases.local_release import LocalRelease
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

TOP_K = 10
_ENCODED_AT_ONCE = 32

Modality = Literal["image", "text"]


@dataclass(frozen=True)
class GoldenAnswers:
    """What a release answered: for each query that it can answer, whether a right item was among the first ten.

    A query that the release's catalog cannot answer any more is left out: it says nothing about the release.
    """

    found: dict[str, bool]

    def recall(self, golden_set: GoldenSet, modality: Modality, *, only: set[str] | None = None) -> float | None:
        """Returns the share of queries of a modality that were answered right, or None when there is none.

        Args:
            only: query ids that count; all of them when it is None.
        """
        hits = [
            self.found[query.query_id]
            for query in golden_set.queries
            if query.modality == modality and query.query_id in self.found and (only is None or query.query_id in only)
        ]
        return sum(hits) / len(hits) if hits else None


class EncodedQueries:
    """Embeds the queries of a golden set, once for each encoder.

    Attributes:
        golden_set: whose queries they are.
    """

    def __init__(self, settings: Settings, object_store: ObjectStore, golden_set: GoldenSet) -> None:
        self._settings = settings
        self._object_store = object_store
        self.golden_set = golden_set
        self._by_fingerprint: dict[str, NDArray[np.float32]] = {}

    def under(self, fingerprint: str) -> NDArray[np.float32]:
        """Returns (queries, dimension), float32, unit L2 norm, in the golden set's order."""
        if fingerprint not in self._by_fingerprint:
            self._by_fingerprint[fingerprint] = self._encode(fingerprint)
        return self._by_fingerprint[fingerprint]

    def _encode(self, fingerprint: str) -> NDArray[np.float32]:
        encoder = open_encoder(self._settings, self._object_store, fingerprint)
        queries = self.golden_set.queries
        embeddings = np.zeros((len(queries), encoder.dimension), dtype=np.float32)
        places = {
            kind: [at for at, query in enumerate(queries) if query.modality == kind] for kind in ("image", "text")
        }
        for batch in _batches(places["image"]):
            embeddings[batch] = encoder.encode_images([self._picture(queries[at]) for at in batch]).embeddings
        for batch in _batches(places["text"]):
            embeddings[batch] = encoder.encode_texts([self._text(queries[at]) for at in batch]).embeddings
        return embeddings

    def _picture(self, query: GoldenQuery) -> Image.Image:
        if query.image is None:
            raise self._unasked(query)
        data = read_picture(self._object_store, query.image, catalog_id=self.golden_set.catalog_id)
        return alter_picture(data, crop=query.crop, brightness=query.brightness)

    def _text(self, query: GoldenQuery) -> str:
        if query.text is None:
            raise self._unasked(query)
        return query.text

    def _unasked(self, query: GoldenQuery) -> ContractError:
        return ContractError(
            f"golden set {self.golden_set.golden_set_id}: query {query.query_id} lacks its {query.modality}; "
            "write the set again"
        )


def ask_golden_queries(
    encoded: EncodedQueries, release: LocalRelease, *, among: NDArray[np.int64] | None = None
) -> GoldenAnswers:
    """Asks a release every golden query that it can answer.

    Args:
        among: only these rows may answer, and be right.
    """
    golden_set = encoded.golden_set
    expected = {item_id for query in golden_set.queries for item_id in query.expected_item_ids}
    row_of = release.items.rows_by_item_id(expected)
    holding = holding_queries(golden_set, release.items)
    embeddings = encoded.under(release.release.fingerprint)
    _, answers = release.index.search(embeddings, top_k=TOP_K, allowed=among)
    possible = None if among is None else set(among.tolist())
    found = {}
    for query, rows in zip(golden_set.queries, answers, strict=True):
        right = {row_of[item_id] for item_id in query.expected_item_ids if item_id in row_of}
        if possible is not None:
            right &= possible
        if right and query.query_id in holding:
            found[query.query_id] = not right.isdisjoint(rows.tolist())
    return GoldenAnswers(found)


def _batches(items: list[int]) -> Iterator[list[int]]:
    return (items[start : start + _ENCODED_AT_ONCE] for start in range(0, len(items), _ENCODED_AT_ONCE))
