"""Recall@10 on the validation split: what early stopping and the choice of the best weights go by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.batches import product_of
from training.data.prepared import PreparedPictures
from training.data.samples import Sample
from training.evaluate.scoring import ranked
from training.loop.dual_tower import DualTower
from training.loop.optimisation import mixed_precision
from training.options import TrainingOptions
from vitrine.encoder.tokenizer import TextTokenizer
from vitrine.images.preprocessing import Preprocessing
from vitrine.retrieval.metrics import capped_recall_at_k

TOP_K = 10
_EMBED_ROWS = 64
_SCORE_ROWS = 512
# Of a split that is larger, the first by a hash: a validation must stay short beside an epoch.
MAX_SAMPLES = 20_000


@dataclass(frozen=True)
class ValidationResult:
    """Mean recall@10 of each task, each over the validation's pictures; None where the split has no such query.

    Attributes:
        image: from a picture to the others of its product.
        text: from a title to the pictures of its product.
        user_photo: from a user's photo to the studio pictures of its product.
    """

    image: float | None
    text: float | None
    user_photo: float | None

    @property
    def mean(self) -> float | None:
        """The mean over the tasks that there are: visual search must not be bought with text search."""
        values = [value for value in (self.image, self.text, self.user_photo) if value is not None]
        return sum(values) / len(values) if values else None


class Validator:
    """Embeds the validation split as the encoder would, and searches it exactly.

    Args:
        samples: of the split; all decodable.
        pictures: prepared exactly as the encoder prepares them, nothing is augmented.
        preprocessing, tokenizer: of the encoder.
        options: positives, precision and whether texts count.
        device: of the tower.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        pictures: PreparedPictures,
        preprocessing: Preprocessing,
        tokenizer: TextTokenizer,
        options: TrainingOptions,
        device: torch.device,
    ) -> None:
        self._samples = sorted(samples, key=lambda sample: (sample.image_sha256, sample.item_id))[:MAX_SAMPLES]
        self._pictures = pictures
        self._preprocessing = preprocessing
        self._tokenizer = tokenizer
        self._options = options
        self._device = device
        products = [product_of(sample, positives=options.positives) for sample in self._samples]
        self._products = np.unique(products, return_inverse=True)[1] if products else np.empty(0, dtype=np.int64)

    def validate(self, tower: DualTower) -> ValidationResult:
        """Measures the tower, which is in evaluation mode meanwhile."""
        trained = tower.training
        tower.eval()
        try:
            with torch.inference_mode(), mixed_precision(self._options.precision, device=self._device):
                return self._validate(tower)
        finally:
            tower.train(trained)

    def _validate(self, tower: DualTower) -> ValidationResult:
        images = self._embed_images(tower)
        kinds = np.array([sample.photo_kind or "" for sample in self._samples])
        rows = np.flatnonzero(kinds != "scene")
        users, studio = np.flatnonzero(kinds == "user"), kinds == "studio"
        titles = np.array([row for row, sample in enumerate(self._samples) if sample.title and kinds[row] != "scene"])
        texts = self._embed_texts(tower, titles)
        return ValidationResult(
            image=self._recall(images[rows], images, query_rows=rows, counted=kinds != "scene"),
            text=self._recall(texts, images, query_rows=titles, counted=kinds != "scene", itself=True),
            user_photo=self._recall(images[users], images, query_rows=users, counted=studio),
        )

    def _recall(
        self,
        queries: NDArray[np.float32],
        images: NDArray[np.float32],
        *,
        query_rows: NDArray[np.int64],
        counted: NDArray[np.bool_],
        itself: bool = False,
    ) -> float | None:
        """Mean capped recall@10 over the queries that have something to find among the `counted` pictures.

        Args:
            queries: (n_queries, dimension).
            images: (n, dimension).
            query_rows: (n_queries,), the query's own row among the images.
            counted: (n,), pictures that are searched.
            itself: the query's own picture is one of the answers, else it is left out.
        """
        recalls: list[float] = []
        for start in range(0, len(query_rows), _SCORE_ROWS):
            own = query_rows[start : start + _SCORE_ROWS]
            scores = queries[start : start + len(own)] @ images.T  # (n_own, n)
            scores[:, ~counted] = -np.inf
            for row, scored in zip(own, scores, strict=True):
                relevant = (self._products == self._products[row]) & counted
                if not itself:
                    relevant[row] = False
                if relevant.any():
                    ranking = ranked(scored, depth=TOP_K, excluded=None if itself else int(row))
                    wanted = np.flatnonzero(relevant).tolist()
                    recalls.append(capped_recall_at_k(ranking.tolist(), wanted, top_k=TOP_K))
        return float(np.mean(recalls)) if recalls else None

    def _embed_images(self, tower: DualTower) -> NDArray[np.float32]:
        parts = []
        for start in range(0, len(self._samples), _EMBED_ROWS):
            squares = self._pictures.of(self._samples[start : start + _EMBED_ROWS])
            pixels = torch.from_numpy(self._preprocessing.normalise(squares)).to(self._device)
            parts.append(tower.embed_images(pixels).cpu().numpy())
        return np.concatenate(parts) if parts else np.empty((0, 1), dtype=np.float32)

    def _embed_texts(self, tower: DualTower, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        titles = [self._samples[row].title or "" for row in rows]
        parts = []
        for start in range(0, len(titles), _EMBED_ROWS):
            token_ids = torch.from_numpy(self._tokenizer.token_ids(titles[start : start + _EMBED_ROWS]))
            parts.append(tower.embed_texts(token_ids.to(self._device)).cpu().numpy())
        return np.concatenate(parts) if parts else np.empty((0, 1), dtype=np.float32)
