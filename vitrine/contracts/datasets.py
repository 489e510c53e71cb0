"""Deliveries, manifests and embedding sets: the data side of the way from a catalog to a release."""

from __future__ import annotations

from typing import Literal

from vitrine.contracts.document import Document, StoredFile


class PartFile(Document):
    """One Parquet part of a dataset."""

    key: str
    rows: int
    sha256: str


class Delivery(Document):
    """One day's items as delivered; `delivery.json`, written last.

    `delivery_id` hashes catalog, day, files, `full` and the images that the rows name: their SHA-256 in a folder, which
    is copied into the store, their size and ETag where they stay: below an `s3://` prefix, or wherever else rows point.
    `image_marks` keep those for the profile; older deliveries have none.
    """

    delivery_id: str
    catalog_id: str
    dt: str
    full: bool
    source: str
    files: tuple[StoredFile, ...]  # under <delivery_prefix>/items/, in order of reading
    images_base: str  # s3:// prefix that relative image URIs are resolved against
    image_marks: PartFile | None = None  # of the images that were not copied: `image_uri`, `image_mark`


class Manifest(Document):
    """The validated items of a partition; `manifest.json`, written last.

    `manifest_id` hashes the delivery, the rules that judged its rows and the parts, but not the thresholds that let the
    partition pass. rows_in = rows_accepted + rows_rejected always.
    """

    manifest_id: str
    catalog_id: str
    dt: str
    delivery_id: str
    full: bool
    policy_digest: str  # of the rules that judged the rows
    space: Literal["encoder", "vectors"]
    dimension: int | None
    rows_in: int
    rows_accepted: int  # deletions included
    rows_rejected: int
    rows_deleted: int
    rejected_by_reason: dict[str, int]
    parts: tuple[PartFile, ...]
    quarantine_parts: tuple[PartFile, ...]


class EmbeddingBlock(Document):
    """One committed block: the vectors of one unit (a row group of a pack, or a manifest part) under one encoder.

    The Parquet object has columns `embedding_key` (string), `embedding` (fixed_size_list<float16, dimension>, unit L2
    norm before rounding) and `norm` (float32, L2 norm before normalisation).
    """

    block_id: str
    key: str
    source_id: str
    row_group: int
    rows: int
    engine: str
    precision: str


class EmbeddingSet(Document):
    """The head of a catalog under one encoder: the manifests that make it and the blocks that cover it."""

    embedding_set_id: str
    catalog_id: str
    fingerprint: str
    dimension: int
    head_sequence: int
    manifests: dict[str, str]  # dt -> manifest_id
    items: int
    rows_digest: str  # of the set of (item_id, embedding_key): what an index depends on
    blocks: tuple[EmbeddingBlock, ...]
