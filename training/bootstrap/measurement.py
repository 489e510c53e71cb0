"""How well an encoder searches a demo catalog whose ground truth is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitrine.encoder import Encoder
from vitrine.errors import ContractError, ImageError

TOP_K = 10
_TEXT_FORMS = ("{color} {type}", "a photo of a {color} {type}", "{type} in {color}")


@dataclass(frozen=True)
class CatalogEvaluation:
    """Exact search among all pictures of the catalog's head that can be decoded.

    Attributes:
        encoder_fingerprint: what was measured.
        items: pictures that were searched.
        studio_queries: studio views that have another studio view of their parent.
        studio_recall_at_10: share of those other views that came back among 10, the query's own picture left out.
        user_photo_queries, user_photo_recall_at_10: the same from user photos to studio views; never trained on.
        text_queries: type and colour pairs that at least 10 items have, in three wordings.
        text_precision_at_10: share of the 10 that are of that type and that colour.
        scarce_text_queries, scarce_text_r_precision: pairs that 3 to 9 items have, judged at that many results.
    """

    encoder_fingerprint: str
    items: int
    studio_queries: int
    studio_recall_at_10: float
    user_photo_queries: int
    user_photo_recall_at_10: float
    text_queries: int
    text_precision_at_10: float
    scarce_text_queries: int
    scarce_text_r_precision: float

    def to_json(self) -> str:
        """Returns the figures as JSON, rounded to four digits."""
        rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}
        return json.dumps(rounded, indent=2) + "\n"


@dataclass(frozen=True)
class KnownItem:
    """An item of the demo catalog and the truth about it; what is not known is empty."""

    path: Path
    parent_id: str
    kind: str
    product_type: str
    color: str


def known_items(folder: Path) -> list[KnownItem]:
    """Reads the head of a generated demo catalog with what is known of each item.

    Args:
        folder: with `dt=…/` and `ground_truth/`, as `python -m examples.demo_catalog` writes it.

    Raises:
        ContractError: the folder holds no ground truth.
    """
    import pyarrow.parquet as pq

    truth = folder / "ground_truth"
    if not (truth / "views.parquet").is_file():
        raise ContractError(
            f"{folder}: expected ground_truth/views.parquet, found none; "
            "make a catalog: python -m examples.demo_catalog"
        )
    parents = {row["parent_id"]: row for row in pq.read_table(truth / "parents.parquet").to_pylist()}
    head: dict[str, KnownItem | None] = {}
    for row in sorted(
        pq.read_table(truth / "views.parquet").to_pylist(), key=lambda row: (row["dt"], row["row_number"])
    ):
        parent = parents.get(row["parent_id"] or "", {})
        if not row["item_id"]:
            continue
        deleted = row["change"] == "delete" or not row["image_uri"]
        head[row["item_id"]] = (
            None
            if deleted
            else KnownItem(
                path=folder / f"dt={row['dt']}" / row["image_uri"],
                parent_id=row["parent_id"] or "",
                kind=row["kind"] or "",
                product_type=parent.get("product_type", ""),
                color=parent.get("color", ""),
            )
        )
    return [item for item in head.values() if item is not None]


def evaluate_encoder(
    encoder: Encoder, items: Sequence[KnownItem], *, on_progress: Callable[[int], None] | None = None
) -> CatalogEvaluation:
    """Embeds a demo catalog and searches it.

    Args:
        items: what `known_items` read.
        on_progress: called with the number of pictures that were embedded since the last call.
    """
    batches: list[NDArray[np.float32]] = []
    kept: list[KnownItem] = []
    for start in range(0, len(items), 64):
        readable = [
            (item, square) for item in items[start : start + 64] if (square := _square(encoder, item.path)) is not None
        ]
        kept += [item for item, _ in readable]
        pixels = encoder.preprocessing.normalise(np.stack([square for _, square in readable]))
        batches.append(encoder.encode_pixels(pixels).embeddings)
        if on_progress is not None:
            on_progress(len(items[start : start + 64]))
    embeddings = np.concatenate(batches)
    studio = recall_of_siblings(embeddings, kept, query_kind="studio")
    user = recall_of_siblings(embeddings, kept, query_kind="user_photo")
    common, scarce = _text_precisions(encoder, embeddings, kept)
    return CatalogEvaluation(
        encoder_fingerprint=encoder.fingerprint,
        items=len(kept),
        studio_queries=len(studio),
        studio_recall_at_10=_mean(studio),
        user_photo_queries=len(user),
        user_photo_recall_at_10=_mean(user),
        text_queries=len(common),
        text_precision_at_10=_mean(common),
        scarce_text_queries=len(scarce),
        scarce_text_r_precision=_mean(scarce),
    )


def recall_of_siblings(embeddings: NDArray[np.float32], items: Sequence[KnownItem], *, query_kind: str) -> list[float]:
    """Recall@10 of each query of that kind: of the other studio views of its parent, among all items but itself."""
    parents = np.array([item.parent_id for item in items])
    studio = np.array([item.kind == "studio" for item in items])
    recalls = []
    for row, item in enumerate(items):
        if item.kind != query_kind or not item.parent_id:
            continue
        relevant = (parents == item.parent_id) & studio
        relevant[row] = False
        if not relevant.any():
            continue
        scores = embeddings @ embeddings[row]  # (n_items,)
        scores[row] = -np.inf
        found = relevant[np.argsort(-scores)[:TOP_K]].sum()
        recalls.append(float(found) / min(TOP_K, int(relevant.sum())))
    return recalls


def _text_precisions(
    encoder: Encoder, embeddings: NDArray[np.float32], items: Sequence[KnownItem]
) -> tuple[list[float], list[float]]:
    common: list[float] = []
    scarce: list[float] = []
    pairs = np.array([f"{item.color}|{item.product_type}" for item in items])
    for pair in sorted(set(pairs) - {"|"}):
        relevant = pairs == pair
        k = min(TOP_K, int(relevant.sum()))
        if k < 3:
            continue
        color, product_type = pair.split("|")
        texts = [form.format(color=color, type=product_type) for form in _TEXT_FORMS]
        for scores in encoder.encode_texts(texts).embeddings @ embeddings.T:  # (n_items,)
            precision = float(relevant[np.argsort(-scores)[:k]].mean())
            (common if k == TOP_K else scarce).append(precision)
    return common, scarce


def _square(encoder: Encoder, path: Path) -> NDArray[np.uint8] | None:
    """The picture, or None for the faults that the demo catalog plants: ingest rejects those before embedding."""
    try:
        return encoder.preprocessing.square(encoder.preprocessing.decode(path.read_bytes()))
    except (ImageError, FileNotFoundError):
        return None


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
