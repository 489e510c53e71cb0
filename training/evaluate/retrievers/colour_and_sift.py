"""The baseline for pictures that needs no training: colours, and a bag of visual words.

Colours: a joint histogram of hue, saturation and value, compared by the Hellinger kernel. Words: RootSIFT descriptors
(D. G. Lowe, IJCV 60(2), 2004; R. Arandjelović, A. Zisserman, CVPR 2012) assigned to k-means centres and weighted by
tf-idf (J. Sivic, A. Zisserman, "Video Google", ICCV 2003). Both halves weigh the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.evaluate.retrievers.picture_vectors import PictureVectors, unit_rows
from training.evaluate.tasks.task import Entry, Query, Task
from vitrine.errors import ContractError

_LONGER_SIDE = 256
_HISTOGRAM_BINS = (12, 4, 4)  # hue, saturation, value
_DESCRIPTORS_A_PICTURE = 150
_VOCABULARY_PICTURES = 500


class ColourAndSiftRetriever:
    """Colour histogram + SIFT words, by the cosine of their joint vector.

    Args:
        words: size of the vocabulary; fewer when the pictures give fewer descriptors.
        seed: of the choice of pictures and of the k-means.
        on_progress: called with how many pictures were embedded since the last call.
    """

    def __init__(self, *, words: int = 256, seed: int = 0, on_progress: Callable[[int], None] | None = None) -> None:
        self.name = "colour + SIFT"
        self.description = f"HSV histogram {'x'.join(map(str, _HISTOGRAM_BINS))} and a bag of {words} RootSIFT words"
        self._words = words
        self._seed = seed
        self._pictures = PictureVectors(self._embed, on_progress=on_progress)
        self._clusters: Any = None
        self._weights: NDArray[np.float32] = np.ones(words, dtype=np.float32)

    def refusal(self, task: Task) -> str | None:
        """Answers pictures with pictures."""
        return None if (task.query_kind, task.entry_kind) == ("picture", "picture") else "it reads no text"

    def prepare(self, entries: Sequence[Entry]) -> None:
        """Learns the visual words from pictures of the gallery."""
        from sklearn.cluster import MiniBatchKMeans

        shown = [entry.picture for entry in entries if entry.picture is not None]
        chosen = np.random.default_rng(self._seed).permutation(len(shown))[:_VOCABULARY_PICTURES]
        found = [_root_sift(shown[place].open()) for place in sorted(chosen)]
        descriptors = np.concatenate([np.empty((0, 128), dtype=np.float32), *found])
        words = min(self._words, len(descriptors))
        if words == 0:
            return  # pictures without any edge: their colours still tell
        self._clusters = MiniBatchKMeans(words, random_state=self._seed, n_init=3, batch_size=4096).fit(descriptors)
        counts = np.stack([self._word_counts(one) for one in found])
        self._weights = np.log((1 + len(found)) / (1 + (counts > 0).sum(axis=0))).astype(np.float32) + 1

    def scores(self, queries: Sequence[Query], entries: Sequence[Entry]) -> NDArray[np.float32]:
        """Returns cosine similarities: (n_queries, n_entries)."""
        return self._pictures.of(queries) @ self._pictures.of(entries).T

    def _embed(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        colours = np.stack([_colours(image) for image in images])
        if self._clusters is None:
            return unit_rows(colours)
        words = np.stack([self._word_counts(_root_sift(image)) for image in images])
        return unit_rows(np.concatenate([unit_rows(colours), unit_rows(np.sqrt(words) * self._weights)], axis=1))

    def _word_counts(self, descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
        size = self._clusters.n_clusters
        if not len(descriptors):
            return np.zeros(size, dtype=np.float32)
        return np.bincount(self._clusters.predict(descriptors), minlength=size).astype(np.float32)


def _colours(image: Image.Image) -> NDArray[np.float32]:
    """Square roots of the shares of colours: their inner product is the Hellinger kernel."""
    import cv2

    hsv = cv2.cvtColor(_reduced(image), cv2.COLOR_RGB2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, list(_HISTOGRAM_BINS), [0, 180, 0, 256, 0, 256])
    return np.sqrt(counts.ravel() / counts.sum()).astype(np.float32)


def _root_sift(image: Image.Image) -> NDArray[np.float32]:
    """RootSIFT descriptors of the strongest points: (n, 128)."""
    import cv2

    cv2.setNumThreads(1)  # its own threads would fight with a machine's other work, and a picture is small
    grey = cv2.cvtColor(_reduced(image), cv2.COLOR_RGB2GRAY)
    try:
        _, found = cv2.SIFT.create(nfeatures=_DESCRIPTORS_A_PICTURE).detectAndCompute(grey, None)
    except cv2.error as error:
        raise ContractError(f"SIFT failed on a picture of {image.size}: {error}") from error
    if found is None:
        return np.empty((0, 128), dtype=np.float32)
    found = np.asarray(found, dtype=np.float32)
    return np.sqrt(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-9))


def _reduced(image: Image.Image) -> NDArray[np.uint8]:
    scale = _LONGER_SIDE / max(image.size)
    if scale < 1:
        image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    return np.asarray(image, dtype=np.uint8)
