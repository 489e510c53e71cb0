"""Index versions, item tables, golden sets and releases: the serving side."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vitrine.contracts.document import Document, FileName, StoredFile
from vitrine.contracts.index_builds import IndexFigures, QuantizerChoice
from vitrine.contracts.items import PackedImage


class RecallFigures(Document):
    """Recall@10 against exact search on held-out queries; None where it cannot be measured."""

    image: float | None
    text: float | None
    queries_image: int
    queries_text: int

    @property
    def worst(self) -> float | None:
        """The lower of the two that were measured."""
        measured = [value for value in (self.image, self.text) if value is not None]
        return min(measured) if measured else None


class IndexVersion(Document):
    """An immutable index over one embedding set; `manifest.json`, written last.

    `rows/part-*.parquet` hold `item_id` and `embedding_key` in row order: row i of the index is row i of the parts.
    Shards hold one run of rows each, in order. What has a default is not known of versions that were built before it
    was recorded.
    """

    index_version: str
    catalog_id: str
    fingerprint: str
    embedding_set_id: str
    dimension: int
    items: int
    index_key: str
    search_parameters: dict[str, int]
    recall_at_10: RecallFigures
    shards: tuple[FileName, ...]
    files: tuple[StoredFile, ...]
    recipe: str = ""  # by its name in docs/indexes.md
    plan_id: str | None = None
    quantizer: QuantizerChoice | None = None  # None: built whole
    parts: int = 0
    parts_encoded: int = 0  # by this build; the others were there
    retrain_due: bool = False
    retrain_reasons: tuple[str, ...] = ()
    predicted: IndexFigures = IndexFigures()
    measured: IndexFigures = IndexFigures()


class ItemTable(Document):
    """The metadata of the head, aligned to the rows of an index version; `manifest.json`, written last."""

    item_table_id: str
    catalog_id: str
    index_version: str
    head_sequence: int
    manifests: dict[str, str]
    items: int
    columns: dict[str, Literal["category", "number", "boolean", "time"]]  # filterable columns and their kinds
    groups: dict[Literal["image", "product"], int] = Field(default_factory=dict)  # how many; none in tables of before
    files: tuple[StoredFile, ...]
    attempt_id: str | None = None  # in whose folder the files lie; None in tables of before: beside the manifest


class GoldenQuery(Document):
    """One golden query: an altered picture of an item, or a text, and the items of which one must come back."""

    query_id: str
    modality: Literal["image", "text"]
    text: str | None = None
    item_id: str | None = None
    image_sha256: str | None = None
    pack_id: str | None = None
    image_offset: int | None = None
    image_size_bytes: int | None = None
    crop: tuple[float, float, float, float] | None = None  # left, top, right, bottom as shares of the picture
    brightness: float = 1.0
    expected_item_ids: tuple[str, ...]

    @property
    def image(self) -> PackedImage | None:
        """Where the picture lies that is altered and asked; None of a text."""
        if (
            self.image_sha256 is None
            or self.pack_id is None
            or self.image_offset is None
            or self.image_size_bytes is None
        ):
            return None
        return PackedImage(self.image_sha256, self.pack_id, self.image_offset, self.image_size_bytes)


class GoldenSet(Document):
    """Golden queries of a catalog."""

    golden_set_id: str
    catalog_id: str
    curated: bool
    queries: tuple[GoldenQuery, ...]


class Release(Document):
    """Encoder + index version + item table: the only thing that is deployed or rolled back."""

    release_id: str
    catalog_id: str
    fingerprint: str
    encoder_version: str
    index_version: str
    item_table_id: str
    embedding_set_id: str
    dimension: int
    items: int
    space: Literal["encoder", "vectors"]
    recall_at_10: RecallFigures
