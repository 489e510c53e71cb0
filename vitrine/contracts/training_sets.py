"""Training sets: what was mined for an encoder to learn from, and out of what.

`<c>/training_sets/<id>/` holds `plan.json` first (a `MiningPlan`: all inputs, which the id hashes), then Parquet parts
of three kinds, and `training_set.json` last. Parts are read by the keys that `training_set.json` names: what a killed
or beaten attempt left beside them belongs to nobody.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError

from vitrine.contracts.datasets import PartFile
from vitrine.contracts.document import Document
from vitrine.errors import ContractError
from vitrine.identity import content_id

if TYPE_CHECKING:
    import pyarrow as pa


class Split(StrEnum):
    """On which side of the evaluation a product stands."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class PairSource(StrEnum):
    """Why two items count as positives of each other."""

    VIEW = "view"  # of one parent
    CO_CLICK = "co_click"
    THUMBS_UP = "thumbs_up"
    GRADE = "grade"


class NegativeSource(StrEnum):
    """Why an item counts as a hard negative."""

    CATEGORY = "category"
    NEIGHBOUR = "neighbour"
    GRADE = "grade"  # people found it irrelevant


class MiningParameters(Document):
    """What mining is told; every one enters the id."""

    seed: int = Field(0, ge=0, description="Of every choice among equals.")
    validation_days: int = Field(7, ge=0, description="Days whose new products are for validation.")
    test_days: int = Field(7, ge=0, description="Last days of all, whose new products are for the test.")
    gap_days: int = Field(1, ge=0, description="Days left out between two splits.")
    near_duplicate_distance: int = Field(
        3, ge=0, le=15, description="Pictures whose perceptual hashes differ in at most so many of 64 bits are one."
    )
    co_click_within: Literal["query", "session"] = Field("query", description="Where two clicks make a pair.")
    min_impressions: int = Field(2, ge=1, description="Items, and pairs of items, shown less often are left out.")
    min_co_clicks: int = Field(2, ge=1, description="Pairs clicked together less often are left out.")
    min_propensity: float = Field(0.05, gt=0, le=1, description="Lower examination propensities count as this one.")
    max_click_weight: float = Field(20.0, ge=1, description="The most that one co-click counts.")
    views_per_anchor: int = Field(8, ge=0, description="Other views of its parent that an item is paired with.")
    category_negatives: int = Field(4, ge=0, description="Of an anchor, from its category.")
    neighbour_negatives: int = Field(8, ge=0, description="Of an anchor, from its nearest neighbours.")
    neighbour_max_anchors: int = Field(200_000, ge=1, description="More are drawn from by their hash.")
    neighbour_max_candidates: int = Field(1_000_000, ge=1, description="More are drawn from by their hash.")

    @classmethod
    def from_values(cls, values: Mapping[str, str]) -> MiningParameters:
        """Reads parameters from a command line or a form; what is left out has its default.

        Raises:
            ContractError: a value is malformed or out of its range, or there is no such parameter.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            raise ContractError(f"mining parameter {first['loc'][0]}={first['input']!r}: {first['msg']}") from error


class TrainingWindow(Document):
    """The days that were read, and where the splits begin and end; all days are whole, in UTC.

    Train is everything before `train_until`, validation and test lie between their two days. A `_from` belongs to the
    window, and a `_until` does not, but for `events_until`, which is the last day that is read.
    """

    events_from: str
    events_until: str
    gap_days: int
    train_until: str
    validation_from: str
    validation_until: str
    test_from: str
    test_until: str


class EventPart(Document):
    """One part of the event log, as it was when the plan was made."""

    dt: str
    key: str
    size_bytes: int
    etag: str


class MiningPlan(Document):
    """All inputs of a training set; `plan.json`. Equal inputs are equal plans, and so one training set.

    Attributes:
        as_of: the day after which nothing counts: neither partitions, nor items, nor events.
        manifests: day to manifest_id, of the days up to `as_of`.
        embedding_set_id: in which neighbours are looked for; None: none are.
        grades_key, grades_sha256: the human grades, copied beside the plan.
    """

    catalog_id: str
    as_of: str
    window: TrainingWindow
    parameters: MiningParameters
    manifests: dict[str, str]
    event_parts: tuple[EventPart, ...]
    embedding_set_id: str | None
    grades_key: str | None
    grades_sha256: str | None

    @property
    def training_set_id(self) -> str:
        """The id of what comes of it."""
        return content_id("training", self.model_dump(mode="json"))


class TrainingSet(Document):
    """A training set; `training_set.json`, written last.

    Attributes:
        fingerprint: of the encoder in whose space the neighbours are.
        samples, pairs, negatives: the parts of each kind, sorted by their first column inside a part.
        samples_by_split: how many items.
        pairs_by_split, negatives_by_split: split, then source, then how many.
        left_out: why items are no samples, and how many: `gap` (first seen between two windows), `other_window` (of a
            product that belongs to an earlier window), `later` (created after the end), `no_image`.
        propensities: position, from 1, to how likely it is looked at, where the first position is 1.
    """

    training_set_id: str
    catalog_id: str
    as_of: str
    window: TrainingWindow
    parameters: MiningParameters
    manifests: dict[str, str]
    embedding_set_id: str | None
    fingerprint: str | None
    events: int
    samples: tuple[PartFile, ...]
    pairs: tuple[PartFile, ...]
    negatives: tuple[PartFile, ...]
    samples_by_split: dict[str, int]
    pairs_by_split: dict[str, dict[str, int]]
    negatives_by_split: dict[str, dict[str, int]]
    left_out: dict[str, int]
    propensities: dict[str, float]


def sample_schema() -> pa.Schema:
    """One row an item that has an image; the last three columns say where its bytes lie.

    `pack_key` is the object, `row_group` the row group inside it, `row` the row inside that, from 0; the pack's columns
    are `image_sha256` and `image_bytes`. An item without a `parent_id` is a product by itself.
    """
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("item_id", pa.string(), nullable=False),
            pa.field("image_sha256", pa.string(), nullable=False),
            pa.field("parent_id", pa.string()),
            pa.field("category", pa.string()),
            pa.field("brand", pa.string()),
            pa.field("color", pa.string()),
            pa.field("title", pa.string()),
            pa.field("description", pa.string()),
            pa.field("created_at", pa.string()),  # ISO 8601 in UTC
            pa.field("photo_kind", pa.string()),  # studio, user, scene
            pa.field("split", pa.string(), nullable=False),  # of Split
            pa.field("near_duplicate_group", pa.string(), nullable=False),
            pa.field("pack_key", pa.string(), nullable=False),
            pa.field("row_group", pa.int32(), nullable=False),
            pa.field("row", pa.int32(), nullable=False),
        ]
    )


def pair_schema() -> pa.Schema:
    """Positives; both ends in one split. A pair that several sources name has a row for each of them.

    Views and co-clicks stand in both directions, thumbs and grades from the query item to the item.
    """
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("anchor_item_id", pa.string(), nullable=False),
            pa.field("positive_item_id", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),  # of PairSource
            pa.field("weight", pa.float32(), nullable=False),  # above 0, at most 1
        ]
    )


def negative_schema() -> pa.Schema:
    """Hard negatives; both ends in one split. None is of the anchor's parent, its near duplicate or its positive."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("anchor_item_id", pa.string(), nullable=False),
            pa.field("hard_negative_item_id", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),  # of NegativeSource
            pa.field("score", pa.float32()),  # cosine similarity; only of neighbours
        ]
    )


def training_window(*, events_from: str, events_until: str, as_of: str, parameters: MiningParameters) -> TrainingWindow:
    """Counts the windows back from the end of `as_of`: test, gap, validation, gap, train.

    A split of no days has no gap of its own.
    """

    def back(day: datetime.date, days: int) -> datetime.date:
        return day - datetime.timedelta(days=days)

    test_until = datetime.date.fromisoformat(as_of) + datetime.timedelta(days=1)
    test_from = back(test_until, parameters.test_days)
    validation_until = back(test_from, parameters.gap_days if parameters.test_days else 0)
    validation_from = back(validation_until, parameters.validation_days)
    train_until = back(validation_from, parameters.gap_days if parameters.validation_days else 0)
    return TrainingWindow(
        events_from=events_from,
        events_until=events_until,
        gap_days=parameters.gap_days,
        train_until=train_until.isoformat(),
        validation_from=validation_from.isoformat(),
        validation_until=validation_until.isoformat(),
        test_from=test_from.isoformat(),
        test_until=test_until.isoformat(),
    )
