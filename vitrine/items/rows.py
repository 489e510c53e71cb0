"""Delivered rows become normalised rows with a verdict: everything that can be said without looking at images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.contracts.items import OPTIONAL_COLUMNS, REQUIRED_COLUMNS, TEXT_COLUMNS, Reason
from vitrine.items.byte_ranges import Unreadable
from vitrine.items.column_values import (
    WrongType,
    attributes_json,
    read_attributes,
    read_boolean,
    read_embedding,
    read_identifier,
    read_item_id,
    read_number,
    read_text,
    read_time,
)
from vitrine.items.files import Row
from vitrine.items.image_uris import ImagePlaces, resolve_image_uri
from vitrine.items.policy import IngestPolicy
from vitrine.items.row_errors import unforeseen_at

_KNOWN = {*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS}
_TYPED: dict[str, Callable[[Any], Any]] = {"image_uri": read_text, **dict.fromkeys(TEXT_COLUMNS, read_text)}
_TYPED |= {"parent_id": read_identifier, "created_at": read_time, "embedding": read_embedding}


@dataclass(frozen=True)
class Verdict:
    """Why a row is rejected."""

    reason: Reason
    detail: str


def judge_row(row: Row | Unreadable, *, row_number: int, places: ImagePlaces, policy: IngestPolicy) -> dict[str, Any]:
    """Returns the row's item columns, with `reject_reason` and `reject_detail` when it is rejected already.

    A deletion needs nothing but its `item_id`: what else is wrong in it is left out, so that it deletes all the same.
    """
    item: dict[str, Any] = {"row_number": row_number, "deleted": False, "attributes": "{}"}
    if isinstance(row, Unreadable):
        return _rejected(item, Verdict(Reason.MALFORMED_ROW, row.detail))
    faults: list[str] = []
    item_id_fault = _read_item_id(item, row)
    _read_columns(item, row, faults)
    if item_id_fault is not None:
        return _rejected(item, item_id_fault)
    if item["deleted"]:
        item.pop("embedding", None)
        _resolve(item, places)
        return item
    if faults:
        return _rejected(item, Verdict(Reason.WRONG_TYPE, "; ".join(faults)))
    image_fault = _resolve(item, places)
    if not item.get("image_uri"):
        return _rejected(item, Verdict(Reason.MISSING_IMAGE_URI, "expected image_uri, found nothing"))
    verdict = _judge_embedding(item, policy) or image_fault
    return item if verdict is None else _rejected(item, verdict)


def judge_rows(
    rows: Iterator[Row | Unreadable], *, first_row_number: int, places: ImagePlaces, policy: IngestPolicy
) -> Iterator[dict[str, Any]]:
    """Judges rows in order, numbering them from `first_row_number`."""
    row_number = first_row_number
    while True:
        with unforeseen_at(f"row {row_number}"):
            row = next(rows, None)
            if row is None:
                return
            judged = judge_row(row, row_number=row_number, places=places, policy=policy)
        yield judged
        row_number += 1


def _rejected(item: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    return item | {"reject_reason": str(verdict.reason), "reject_detail": verdict.detail[:1000]}


def _read_item_id(item: dict[str, Any], row: Row) -> Verdict | None:
    value = row.values.get("item_id")
    if value is None or (isinstance(value, str) and not value.strip()):
        return Verdict(Reason.MISSING_ITEM_ID, "expected item_id, found nothing")
    try:
        item["item_id"] = read_item_id(value)
    except WrongType as error:
        return Verdict(Reason.WRONG_TYPE, f"item_id: {error}")
    return None


def _read_columns(item: dict[str, Any], row: Row, faults: list[str]) -> None:
    readers = _TYPED | {
        "price": partial(read_number, text=row.text),
        "in_stock": partial(read_boolean, text=row.text),
        "deleted": partial(read_boolean, text=row.text),
    }
    for name, reader in readers.items():
        value = row.values.get(name)
        if value is None:
            continue
        try:
            item[name] = reader(value)
        except WrongType as error:
            faults.append(f"{name}: {error}")
    if not item.get("parent_id"):
        item.pop("parent_id", None)  # blank: of no product, or all such items would be views of one
    try:
        delivered = row.values.get("attributes")
        unknown = {name: value for name, value in row.values.items() if name not in _KNOWN}
        item["attributes"] = attributes_json(unknown | (read_attributes(delivered) if delivered is not None else {}))
    except WrongType as error:
        faults.append(f"attributes: {error}")


def _resolve(item: dict[str, Any], places: ImagePlaces) -> Verdict | None:
    """Makes `image_uri` absolute, or removes a blank one."""
    delivered = item.pop("image_uri", "").strip()
    if not delivered:
        return None
    resolved = resolve_image_uri(delivered, places=places)
    item["image_uri"] = resolved.uri
    if resolved.fault is None:
        return None
    reason = Reason.IMAGE_NOT_ALLOWED if resolved.forbidden else Reason.IMAGE_MISSING
    return Verdict(reason, f"{resolved.uri}: {resolved.fault}")


def _judge_embedding(item: dict[str, Any], policy: IngestPolicy) -> Verdict | None:
    vector = item.get("embedding")
    if policy.space == "vectors":
        return _judge_vector(vector, policy)
    if vector is None:
        return None
    return Verdict(
        Reason.UNEXPECTED_EMBEDDING,
        f"found {vector.size} numbers, and this catalog is embedded by the encoder: deliver vectors to a catalog "
        "with `space: vectors`",
    )


def _judge_vector(vector: NDArray[np.float32] | None, policy: IngestPolicy) -> Verdict | None:
    if vector is None:
        return Verdict(Reason.MISSING_EMBEDDING, f"expected {policy.dimension} numbers, found none")
    if vector.shape != (policy.dimension,):
        return Verdict(Reason.EMBEDDING_DIMENSION, f"expected {policy.dimension} numbers, found {vector.size}")
    if not np.isfinite(vector).all():
        where = int(np.flatnonzero(~np.isfinite(vector))[0])
        return Verdict(Reason.EMBEDDING_NOT_FINITE, f"number {where} is {vector[where]}")
    if not float(np.linalg.norm(vector.astype(np.float64))) > np.finfo(np.float32).tiny:
        return Verdict(Reason.EMBEDDING_ZERO, "its length is zero, so it has no direction to search by")
    return None
