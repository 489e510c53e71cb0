"""An encoder as a retriever: every task, by the cosine of embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from training.evaluate.catalogs.catalog import Picture
from training.evaluate.retrievers.picture_vectors import PictureVectors
from training.evaluate.tasks.task import Entry, Query, Task
from vitrine.encoder import Encoder


class EncoderRetriever:
    """Searches exactly among the embeddings of one encoder.

    Args:
        encoder: of both sides.
        name: in the report.
        from_bytes: decodes as ingest does, a large JPEG only as finely as the encoder needs; for whole pictures.
        on_progress: called with how many pictures were embedded since the last call.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        name: str,
        from_bytes: bool = False,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self.name = name
        self.fingerprint = encoder.fingerprint
        self.description = f"encoder {encoder.fingerprint}, {encoder.dimension} dimensions"
        self._encoder = encoder
        self._pictures = PictureVectors(
            lambda images: encoder.encode_images(images).embeddings,
            read=Picture.read_bytes if from_bytes else Picture.open,
            on_progress=on_progress,
        )
        self._texts: dict[str, NDArray[np.float32]] = {}

    def refusal(self, task: Task) -> str | None:  # noqa: ARG002 - the protocol asks
        """An encoder answers every task."""
        return None

    def prepare(self, entries: Sequence[Entry]) -> None:
        """Needs to see nothing beforehand."""

    def scores(self, queries: Sequence[Query], entries: Sequence[Entry]) -> NDArray[np.float32]:
        """Returns cosine similarities: (n_queries, n_entries)."""
        return self._embeddings(queries) @ self._embeddings(entries).T

    def _embeddings(self, asked: Sequence[Query] | Sequence[Entry]) -> NDArray[np.float32]:
        if asked[0].picture is not None:
            return self._pictures.of(asked)
        texts = [one.text or "" for one in asked]
        missing = list(dict.fromkeys(text for text in texts if text not in self._texts))
        if missing:
            self._texts.update(zip(missing, self._encoder.encode_texts(missing).embeddings, strict=True))
        return np.stack([self._texts[text] for text in texts])
