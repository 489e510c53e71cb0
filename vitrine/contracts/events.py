"""The event log: what people were shown, clicked and judged. Serving writes it, training and monitoring read it.

One row an event, in Parquet under `<c>/events/dt=YYYY-MM-DD/` (`keys.events_prefix`), where `dt` is the day of
`occurred_at` in UTC. Serving collects rows in memory and writes a part when it is large or old enough
(`vitrine.event_log.put_event_part`); parts are named by their content and never change, so a part that is sent again is
the same object. An event that was written twice, in two parts, has one `event_id` and counts once. Readers name the
parts that they read, so that a part that comes later changes nothing of what was made before.

pyarrow is imported inside the functions, so that DAG files can import this module cheaply.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


class EventKind(StrEnum):
    """What happened to one item of one answer."""

    IMPRESSION = "impression"  # it stood in the answer, whether anybody looked at it or not
    CLICK = "click"
    THUMBS_UP = "thumbs_up"
    THUMBS_DOWN = "thumbs_down"


class QueryKind(StrEnum):
    """What the query was made of."""

    IMAGE = "image"
    TEXT = "text"
    ITEM = "item"
    EMBEDDING = "embedding"


def event_schema() -> pa.Schema:
    """The columns of an event, in order; of the three details of a query, the one of its `query_kind` is filled."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("event_id", pa.string(), nullable=False),
            pa.field("occurred_at", pa.timestamp("us", tz="UTC"), nullable=False),
            pa.field("kind", pa.string(), nullable=False),  # of EventKind
            pa.field("query_id", pa.string(), nullable=False),  # as the search answer said it
            pa.field("session_id", pa.string(), nullable=False),
            pa.field("release_id", pa.string()),  # that answered; null in logs of other systems
            pa.field("query_kind", pa.string(), nullable=False),  # of QueryKind
            pa.field("query_text", pa.string()),
            pa.field("query_item_id", pa.string()),
            pa.field("query_image_sha256", pa.string()),
            pa.field("item_id", pa.string(), nullable=False),
            pa.field("position", pa.int32(), nullable=False),  # in the answer, from 1
        ]
    )
