"""The bootstrap encoder's fixed figures: how well an encoder searches a demo catalog whose ground truth is known."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.samples import Sample
from training.evaluate.catalogs.catalog import decodes, picture_of
from training.evaluate.retrievers import Retriever
from training.evaluate.retrievers.encoder import EncoderRetriever
from training.evaluate.scoring import answer
from training.evaluate.tasks.task import Entry, Metric, Query, Task
from vitrine.encoder import Encoder
from vitrine.errors import ContractError
from vitrine.identity import sha256_hex
from vitrine.images.photo_kinds import PhotoKind, photo_kind_of

COMMON, SCARCE = 10, 3
_TEXT_FORMS = ("{color} {type}", "a photo of a {color} {type}", "{type} in {color}")


@dataclass(frozen=True)
class CatalogEvaluation:
    """Exact search among all pictures of the catalog's head that can be decoded.

    Attributes:
        encoder_fingerprint: what was measured.
        items: pictures that were searched.
        studio_queries: studio views that have another studio view of their parent.
        studio_recall_at_10: capped recall of those other views, the query's own picture left out.
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


def known_items(folder: Path) -> list[Sample]:
    """Reads the head of a generated demo catalog with what is known of each item, not with what its row says.

    Faults that the demo catalog plants have no picture that can be decoded: ingest rejects them, and here they are
    left out.

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
    views = pq.read_table(truth / "views.parquet").to_pylist()
    head = {row["item_id"]: row for row in sorted(views, key=lambda row: (row["dt"], row["row_number"]))}
    items = []
    for item_id, row in head.items():
        if not item_id or row["change"] == "delete" or not row["image_uri"]:
            continue
        path = folder / f"dt={row['dt']}" / row["image_uri"]
        if not decodes(path):
            continue
        parent = parents.get(row["parent_id"], {})
        sha256 = sha256_hex(path.read_bytes())
        items.append(
            Sample(
                item_id=item_id,
                image_sha256=sha256,
                parent_id=row["parent_id"] or f"item:{item_id}",
                split="test",
                near_duplicate_group=sha256,
                category=parent.get("product_type"),
                color=parent.get("color"),
                photo_kind=photo_kind_of(json.dumps({"kind": row["kind"]})),
                path=path,
            )
        )
    return items


def evaluate_encoder(
    encoder: Encoder, items: Sequence[Sample], *, on_progress: Callable[[int], None] | None = None
) -> CatalogEvaluation:
    """Embeds a demo catalog and searches it.

    Args:
        items: what `known_items` read.
        on_progress: called with the number of pictures that were embedded since the last call.
    """
    retriever = EncoderRetriever(encoder, name="encoder", from_bytes=True, on_progress=on_progress)
    studio = _values(siblings_task(items, asked="studio"), retriever)
    user = _values(siblings_task(items, asked="user"), retriever)
    common = _values(look_task(items, least=COMMON, metric="precision_at_10"), retriever)
    scarce = _values(look_task(items, least=SCARCE, most=COMMON - 1, metric="r_precision"), retriever)
    return CatalogEvaluation(
        encoder_fingerprint=encoder.fingerprint,
        items=len(items),
        studio_queries=len(studio),
        studio_recall_at_10=_mean(studio),
        user_photo_queries=len(user),
        user_photo_recall_at_10=_mean(user),
        text_queries=len(common),
        text_precision_at_10=_mean(common),
        scarce_text_queries=len(scarce),
        scarce_text_r_precision=_mean(scarce),
    )


def siblings_task(items: Sequence[Sample], *, asked: PhotoKind) -> Task:
    """From each picture of a kind to the other studio views of its parent, among all pictures but itself."""
    studio = Counter(item.parent_id for item in items if item.photo_kind == "studio")
    # Other kinds stand in the way and are never right: each is its own product.
    entries = tuple(
        Entry(
            entry_id=item.item_id,
            item=item,
            parent_id=item.parent_id if item.photo_kind == "studio" else f"item:{item.item_id}",
            picture=picture_of(item),
        )
        for item in items
    )
    queries = tuple(
        Query(
            query_id=item.item_id,
            item=item,
            parent_ids=frozenset([item.parent_id]),
            excluded=item.item_id,
            picture=picture_of(item),
        )
        for item in items
        if item.photo_kind == asked and studio[item.parent_id] > (1 if asked == "studio" else 0)
    )
    question = "From a picture to the other studio views of its product, among all pictures"
    return Task(f"{asked}_to_studio", question, "picture", "picture", queries, entries, metric="capped_recall_at_10")


def look_task(items: Sequence[Sample], *, least: int, most: int | None = None, metric: Metric) -> Task:
    """From the words for a colour and a type to pictures of them, among all; of the looks that so many items have."""
    looks: dict[tuple[str, str], list[Sample]] = {}
    for item in items:
        if item.color and item.category:
            looks.setdefault((item.color, item.category), []).append(item)
    queries = tuple(
        Query(
            query_id=text,
            item=found[0],
            parent_ids=frozenset(),
            text=text,
        )
        for (color, product_type), found in sorted(looks.items(), key=lambda look: "|".join(look[0]))
        if least <= len(found) <= (most or len(items))
        for text in (form.format(color=color, type=product_type) for form in _TEXT_FORMS)
    )
    entries = tuple(Entry(item.item_id, item, item.parent_id, picture=picture_of(item)) for item in items)
    question = "From a colour and a type to pictures of both"
    return Task("text_to_look", question, "text", "picture", queries, entries, relevance="look", metric=metric)


def _values(task: Task, retriever: Retriever) -> NDArray[np.float64]:
    if not task.queries:
        return np.empty(0)
    return answer(task, retriever, metrics=[task.metric]).values[task.metric]


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0
