"""The baseline for texts: TF-IDF between the query and what the gallery's items say of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluate.tasks.task import Entry, Query, Task

_WORD = r"(?u)\b\w+\b"


class TfidfRetriever:
    """Words and pairs of words of titles and descriptions, sublinear counts, by cosine."""

    def __init__(self) -> None:
        self.name = "TF-IDF"
        self.description = "words and word pairs of the other items' titles and descriptions"
        self._vectorizer: Any = None
        self._gallery: tuple[Sequence[Entry], Any] | None = None

    def refusal(self, task: Task) -> str | None:
        """Answers texts, by the texts of pictures that are not the question's own."""
        if task.query_kind != "text":
            return "it reads no pictures"
        if task.own_text_in_gallery:
            return "the question stands word for word in the gallery: each product has one picture with one title"
        if not any(entry.text and any(letter.isalnum() for letter in entry.text) for entry in task.entries):
            return "no item of the gallery has a text"
        return None

    def prepare(self, entries: Sequence[Entry]) -> None:
        """Learns the vocabulary and its weights from the gallery's texts."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._vectorizer = TfidfVectorizer(lowercase=True, ngram_range=(1, 2), sublinear_tf=True, token_pattern=_WORD)
        self._vectorizer.fit([entry.text or "" for entry in entries])

    def scores(self, queries: Sequence[Query], entries: Sequence[Entry]) -> NDArray[np.float32]:
        """Returns cosine similarities: (n_queries, n_entries)."""
        if self._gallery is None or self._gallery[0] is not entries:
            self._gallery = (entries, self._vectorizer.transform([entry.text or "" for entry in entries]))
        asked = self._vectorizer.transform([query.text or "" for query in queries])
        return np.asarray((asked @ self._gallery[1].T).toarray(), dtype=np.float32)
