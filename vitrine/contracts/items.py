"""The item: what a delivery brings, what a manifest keeps, and why a row is rejected.

pyarrow is imported inside the functions, so that DAG files can import this module cheaply.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

REQUIRED_COLUMNS = ("item_id", "image_uri")
TEXT_COLUMNS = ("title", "description", "category", "parent_id", "brand", "color")
OPTIONAL_COLUMNS = (*TEXT_COLUMNS, "price", "in_stock", "created_at", "deleted", "attributes", "embedding")


class Reason(StrEnum):
    """Why a row stands in the quarantine; the order is that of the checks: the first that fails is the reason.

    Of sound rows with one `item_id` the last counts, and the others are duplicates; a broken row keeps its own reason.
    """

    MALFORMED_ROW = "malformed_row"
    MISSING_ITEM_ID = "missing_item_id"
    WRONG_TYPE = "wrong_type"
    MISSING_IMAGE_URI = "missing_image_uri"
    MISSING_EMBEDDING = "missing_embedding"
    UNEXPECTED_EMBEDDING = "unexpected_embedding"
    EMBEDDING_DIMENSION = "embedding_dimension"
    EMBEDDING_NOT_FINITE = "embedding_not_finite"
    EMBEDDING_ZERO = "embedding_zero"
    IMAGE_NOT_ALLOWED = "image_not_allowed"
    IMAGE_MISSING = "image_missing"
    IMAGE_CHANGED = "image_changed"
    IMAGE_TOO_MANY_BYTES = "image_too_many_bytes"
    IMAGE_TOO_MANY_PIXELS = "image_too_many_pixels"
    IMAGE_TOO_MUCH_WORK = "image_too_much_work"
    IMAGE_UNDECODABLE = "image_undecodable"
    IMAGE_TOO_SMALL = "image_too_small"
    IMAGE_EXTREME_ASPECT = "image_extreme_aspect"
    DUPLICATE_ITEM_ID = "duplicate_item_id"


def item_fields() -> list[pa.Field]:
    """The columns of a normalised item, in order; `image_uri` is absolute, `attributes` is a JSON object as text."""
    import pyarrow as pa

    return [
        pa.field("row_number", pa.int64()),  # position in the delivery over all its files, from 0
        pa.field("item_id", pa.string()),
        pa.field("image_uri", pa.string()),
        *(pa.field(name, pa.string()) for name in TEXT_COLUMNS),
        pa.field("price", pa.float64()),
        pa.field("in_stock", pa.bool_()),
        pa.field("created_at", pa.timestamp("us", tz="UTC")),
        pa.field("deleted", pa.bool_()),  # never null
        pa.field("attributes", pa.string()),  # never null: "{}" when there are none
        pa.field("embedding", pa.list_(pa.float32())),  # only in catalogs that bring vectors
    ]


def profile_fields() -> list[pa.Field]:
    """The columns of an image profile; all null for deleted rows and for images that were not read."""
    import pyarrow as pa

    return [
        pa.field("image_sha256", pa.string()),
        pa.field("image_size_bytes", pa.int64()),
        pa.field("image_width", pa.int32()),
        pa.field("image_height", pa.int32()),
        pa.field("image_mode", pa.string()),
        pa.field("image_format", pa.string()),  # JPEG, PNG, WEBP, GIF, ...
        pa.field("image_grayscale", pa.bool_()),
        pa.field("perceptual_hash", pa.string()),  # 16 hex digits
    ]


def location_fields() -> list[pa.Field]:
    """Where an accepted item's image bytes and vector lie.

    `source_id` and `row_group` name the unit of embedding: a row group of a pack, or, in catalogs that bring vectors,
    a part of the manifest. `embedding_key` names the vector inside it: the image's SHA-256, or that of the vector.
    """
    import pyarrow as pa

    return [
        pa.field("pack_id", pa.string()),
        pa.field("image_offset", pa.int64()),  # of the image bytes inside the pack object, for one range read
        pa.field("source_id", pa.string()),
        pa.field("row_group", pa.int32()),
        pa.field("embedding_key", pa.string()),
    ]


def verdict_fields() -> list[pa.Field]:
    """Why a row is rejected; both null when it is accepted."""
    import pyarrow as pa

    return [pa.field("reject_reason", pa.string()), pa.field("reject_detail", pa.string())]


def candidate_schema() -> pa.Schema:
    """Every delivered row, judged: item, profile, location and verdict."""
    import pyarrow as pa

    return pa.schema([*item_fields(), *profile_fields(), *location_fields(), *verdict_fields()])


@dataclass(frozen=True)
class PackedImage:
    """Where the bytes of an accepted image lie: `size_bytes` of a pack from `offset` on, and their SHA-256."""

    sha256: str
    pack_id: str
    offset: int
    size_bytes: int


def manifest_items_schema() -> pa.Schema:
    """The accepted rows of a manifest."""
    import pyarrow as pa

    return pa.schema([*item_fields(), *profile_fields(), *location_fields()])
