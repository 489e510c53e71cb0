"""What training learns from: samples (items with an image), pairs that belong together, and hard negatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitrine.identity import content_id
from vitrine.images.photo_kinds import PhotoKind

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One item that has an image; what is not known of it is None.

    Attributes:
        item_id: of the item.
        image_sha256: of its image bytes.
        parent_id: the product of which it is a view; the item itself where its catalog names none.
        created_at: when it came to the catalog, ISO 8601.
        photo_kind: a studio picture, a picture by a user, or a scene with several products.
        split: where it stands. Mining, and a folder split by time, keep parents and near duplicates on one side; a
            folder's own column decides about parents.
        near_duplicate_group: pictures that are nearly the same have the same.
        pack_key, row_group, row: where the image lies in the object store, in a training set.
        path: where the image lies, in a folder.
    """

    item_id: str
    image_sha256: str
    parent_id: str
    split: Split
    near_duplicate_group: str
    category: str | None = None
    brand: str | None = None
    color: str | None = None
    title: str | None = None
    description: str | None = None
    created_at: str | None = None
    photo_kind: PhotoKind | None = None
    pack_key: str | None = None
    row_group: int | None = None
    row: int | None = None
    path: Path | None = None

    def captions(self) -> tuple[str, ...]:
        """Returns what may be said of the picture: the title, and the title with the description."""
        title, description = (self.title or "").strip(), (self.description or "").strip()
        if not title:
            return (description,) if description else ()
        return (title, f"{title}. {description}") if description else (title,)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two items that a shopper would call alike, by `item_id`; both ends in one split.

    Attributes:
        weight: how sure that is, above 0 and at most 1.
    """

    anchor_item_id: str
    positive_item_id: str
    weight: float


@dataclass(frozen=True)
class TrainingData:
    """All that a training reads but the pictures.

    Attributes:
        data_id: names the data; the same data has the same.
        samples: in order of `item_id`.
        pairs: positives beyond the views of one parent, which belong together anyway.
        hard_negatives: by anchor, items that look like it and are not meant with it.
    """

    data_id: str
    samples: tuple[Sample, ...]
    pairs: tuple[Pair, ...] = ()
    hard_negatives: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def of_split(self, split: Split) -> list[Sample]:
        """Returns the samples of one split."""
        return [sample for sample in self.samples if sample.split == split]


_IDENTITY = (
    *("item_id", "image_sha256", "parent_id", "split", "near_duplicate_group", "category", "brand", "color"),
    *("title", "description", "created_at", "photo_kind"),
)


def samples_id(samples: Sequence[Sample]) -> str:
    """Names samples by everything about them but where their files happen to lie."""
    return content_id(
        "samples",
        [[getattr(sample, name) for name in _IDENTITY] for sample in samples],
    )
