"""The search API: what a request holds and what an answer says. `/openapi.json` is generated from these models."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vitrine.contracts.releases import RecallFigures

MAX_TEXT_LENGTH = 1_000
MAX_ITEM_ID_LENGTH = 1_024
MAX_DIMENSION = 8_192

DEDUPE = (
    "Show one item, the nearest, of those with the same picture or a near duplicate of it (`image`), or of the same "
    "product (`product`: equal `parent_id`). There are as many results all the same. What is grouped with the item of "
    "`item_id` is left out too."
)

CatalogId = Annotated[str, Field(min_length=1, max_length=64, description="Catalog; the default one if left out.")]
Number = Annotated[float, Field(allow_inf_nan=False)]


class ApiModel(BaseModel):
    """Frozen, strict about types and unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SearchRequest(ApiModel):
    """A query: exactly one of `text`, `image`, `item_id`, `embedding`."""

    catalog: CatalogId | None = None
    text: str | None = Field(None, max_length=MAX_TEXT_LENGTH, description="Words that describe what is looked for.")
    image: str | None = Field(None, description="A picture file, as base64; or send it as multipart/form-data.")
    item_id: str | None = Field(
        None, max_length=MAX_ITEM_ID_LENGTH, description="An item of the catalog; it is left out of the answer."
    )
    embedding: list[Number] | None = Field(
        None, max_length=MAX_DIMENSION, description="A vector of the catalog's space; its length does not matter."
    )
    top_k: int = Field(10, ge=1, description="How many results are wanted.")
    filters: dict[str, Any] | None = Field(
        None,
        description='Column to value, list of values, or range: {"category": "dress", "color": ["red", "blue"], '
        '"price": {"gte": 10, "lt": 50}}. Joined by AND; at most 1,000 values in all lists.',
    )
    dedupe: Literal["image", "product"] | None = Field(None, description=DEDUPE)


class ItemSummary(ApiModel):
    """What a list shows of an item; fields that the catalog does not say are null."""

    item_id: str
    title: str | None
    category: str | None
    image_url: str | None
    price: float | None
    brand: str | None
    color: str | None
    in_stock: bool | None
    parent_id: str | None


class SearchResult(ItemSummary):
    """One item that was found."""

    score: float = Field(description="Cosine similarity, higher is nearer.")


class Timings(ApiModel):
    """Milliseconds inside the search tier."""

    encode: float
    search: float
    total: float


class SearchResponse(ApiModel):
    """An answer, made by one release."""

    query_id: str
    release_id: str
    results: list[SearchResult]
    timings_ms: Timings


class ItemList(ApiModel):
    """Some items of a catalog, spread over all of it; the same ones each time."""

    release_id: str
    items: list[ItemSummary]


class Item(ApiModel):
    """Everything that the live release knows of one item."""

    item_id: str
    release_id: str
    title: str | None
    description: str | None
    category: str | None
    parent_id: str | None
    brand: str | None
    color: str | None
    price: float | None
    in_stock: bool | None
    created_at: datetime.datetime | None
    attributes: dict[str, Any]
    image_url: str | None
    width: int | None
    height: int | None


class ItemEmbedding(ApiModel):
    """An item's vector as the live index holds it, unit L2 norm; it can be sent back as a query."""

    item_id: str
    release_id: str
    embedding: list[float]


class LiveCatalog(ApiModel):
    """A catalog that answers."""

    catalog_id: str
    title: str
    description: str
    items: int
    space: Literal["encoder", "vectors"] = Field(
        description="`vectors`: no text and no pictures, only item and vector."
    )
    release_id: str
    dimension: int
    filters: dict[str, Literal["category", "number", "boolean", "time"]] = Field(description="Columns to filter on.")
    is_default: bool


class Limits(ApiModel):
    """What one query may ask for, and may bring."""

    top_k: int = Field(description="The largest `top_k`, and the largest `limit` of a list.")
    text_length: int = Field(description="Characters of a `text`.")
    image_bytes: int = Field(description="Bytes of a picture file.")
    image_pixels: int = Field(description="Pixels of a picture.")


class CatalogList(ApiModel):
    """The catalogs that answer, by id, and what a query may be."""

    catalogs: list[LiveCatalog]
    limits: Limits


class LiveRelease(ApiModel):
    """What a catalog serves now."""

    release_id: str
    encoder_fingerprint: str
    encoder_version: str
    index_version: str
    items: int
    dimension: int
    recall_at_10: RecallFigures
    activated_at: str
    slot: Literal["blue", "green"]
    pinned: bool = Field(
        default=False, description="Kept by hand: no release goes live by itself until it is unpinned."
    )


class Problem(ApiModel):
    """What went wrong, as application/problem+json (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str


class WorkerHealth(ApiModel):
    """One worker process: what it serves of each catalog, and whether it can.

    `stopped`: a signal holds it. `silent`: it has not shown for too long that it can answer. `gone`: it has ended.
    """

    index: int
    pid: int
    accepting: bool
    state: Literal["running", "stopped", "silent", "gone"]
    releases: dict[str, str]


class Readiness(ApiModel):
    """Whether every worker serves the live release of every catalog that has one.

    `agent` is the process that brings releases and starts workers; they answer without it, too.
    """

    status: Literal["ready", "not ready"]
    replica_id: str
    agent: Literal["running", "stopped", "gone"]
    reasons: list[str]
    live: dict[str, str]
    ledger: Literal["reachable", "unreachable"]
    workers: list[WorkerHealth]


class Liveness(ApiModel):
    """The process answers."""

    status: Literal["ok"]
