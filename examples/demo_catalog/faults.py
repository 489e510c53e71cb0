"""Planted faults: what real deliveries get wrong, each with what must become of the row."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np

from examples.demo_catalog.plan import Delivery, Row, named


@dataclass(frozen=True)
class Fault:
    """A kind of fault; an empty `reason` means that the row must be accepted all the same."""

    name: str
    reason: str
    formats: tuple[str, ...] = ("parquet", "jsonl", "csv")
    once: bool = False

    @property
    def accepted(self) -> bool:
        """Whether the row belongs in the manifest."""
        return not self.reason


# An oversized file weighs 21 MB, so a catalog has one.
FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("truncated_image", "image_undecodable"),
        Fault("missing_image", "image_missing"),
        Fault("duplicate_item_id", "duplicate_item_id"),
        Fault("wrong_price", "wrong_type", ("jsonl", "csv")),
        Fault("malformed_row", "malformed_row", ("jsonl",)),
        Fault("exact_duplicate", ""),
        Fault("tiny_image", "image_too_small"),
        Fault("html_as_image", "image_undecodable"),
        Fault("missing_item_id", "missing_item_id"),
        Fault("extreme_aspect", "image_extreme_aspect"),
        Fault("wrong_in_stock", "wrong_type", ("jsonl", "csv")),
        Fault("grayscale", ""),
        Fault("wrong_created_at", "wrong_type"),
        Fault("decompression_bomb", "image_too_many_pixels"),
        Fault("near_duplicate", ""),
        Fault("missing_image_uri", "missing_image_uri"),
        Fault("text_as_image", "image_undecodable"),
        Fault("shared_image", ""),
        Fault("empty_file", "image_undecodable"),
        Fault("oversized_file", "image_too_many_bytes", once=True),
    )
}
_SPOILED_FILE = (
    "truncated_image",
    "missing_image",
    "tiny_image",
    "html_as_image",
    "extreme_aspect",
    "grayscale",
    "decompression_bomb",
    "text_as_image",
    "empty_file",
    "oversized_file",
)


def plant_faults(deliveries: list[Delivery], *, seed: int, share: float) -> list[Delivery]:
    """The same deliveries with about `share` of all rows spoiled.

    Only new items that no other day mentions are spoiled, so that a fault changes nothing but its own row.
    """
    mentions: dict[str, int] = {}
    for delivery in deliveries:
        for row in delivery.rows:
            mentions[str(row.values["item_id"])] = mentions.get(str(row.values["item_id"]), 0) + 1
    total = sum(len(delivery.rows) for delivery in deliveries)
    planted = []
    used_once: set[str] = set()
    for day, delivery in enumerate(deliveries):
        # Even parts of both: a small later day still shows several kinds, the first day the most.
        wanted = round(share * (0.5 * len(delivery.rows) + 0.5 * total / len(deliveries)))
        rng = np.random.default_rng([61, seed, day])
        planted.append(_plant(delivery, wanted, mentions, used_once, rng))
    return planted


def shuffled(delivery: Delivery, *, seed: int) -> Delivery:
    """The rows in the order of the file; of two rows with one id, the one to be rejected comes first."""
    order = np.random.default_rng([67, seed, len(delivery.rows)]).permutation(len(delivery.rows))
    rows = [delivery.rows[k] for k in order]
    last: dict[str, int] = {}
    for position, row in enumerate(rows):
        last[str(row.values.get("item_id"))] = position
    for position, row in enumerate(rows):
        if row.fault == "duplicate_item_id":
            winner = last[str(row.values["item_id"])]
            if winner == position:
                other = next(
                    k
                    for k, candidate in enumerate(rows)
                    if k != position and candidate.values.get("item_id") == row.values["item_id"]
                )
                rows[position], rows[other] = rows[other], rows[position]
    return replace(delivery, rows=tuple(rows))


def _plant(
    delivery: Delivery, wanted: int, mentions: dict[str, int], used_once: set[str], rng: np.random.Generator
) -> Delivery:
    rows = list(delivery.rows)
    free = [
        k
        for k, row in enumerate(rows)
        if row.change == "new"
        and row.picture is not None
        and row.picture.kind != "scene"
        and mentions[str(row.values["item_id"])] == 1
    ]
    free = [free[k] for k in rng.permutation(len(free))]
    kinds = [fault for fault in FAULTS.values() if delivery.format in fault.formats and fault.name not in used_once]
    # Kinds that only this format can show come first, or a short list would never reach them.
    kinds.sort(key=lambda fault: len(fault.formats))
    number = 0
    while number < wanted and len(free) >= 2:
        fault = kinds[number % len(kinds)]
        number += 1
        if fault.once:
            if fault.name in used_once:
                wanted += 1
                continue
            used_once.add(fault.name)
        victim, model = free.pop(), free[0]
        rows[victim] = _spoiled(rows[victim], rows[model], fault.name)
        if fault.name in ("duplicate_item_id", "exact_duplicate", "near_duplicate", "shared_image"):
            free.pop(0)  # the model must stay sound
    return replace(delivery, rows=tuple(rows))


def _spoiled(row: Row, model: Row, fault: str) -> Row:
    values, picture = dict(row.values), row.picture
    if picture is None or model.picture is None:
        raise ValueError(f"{values['item_id']}: a fault needs a row with a picture")
    item_id = str(values["item_id"])
    line: str | None = None
    if fault in _SPOILED_FILE:
        format_name = "PNG" if fault == "decompression_bomb" else "JPEG"
        picture = replace(picture, treatment=fault, format=format_name)
        values["image_uri"] = named(picture, item_id)
    elif fault in ("exact_duplicate", "near_duplicate", "shared_image"):
        # Somebody sells the same product again under another id, with the same picture.
        values = dict(model.values) | {"item_id": item_id, "price": values["price"], "in_stock": values["in_stock"]}
        picture = replace(model.picture, treatment="near_duplicate" if fault == "near_duplicate" else "")
        values["image_uri"] = model.values["image_uri"] if fault == "shared_image" else named(picture, item_id)
    elif fault == "duplicate_item_id":
        values["item_id"] = model.values["item_id"]
    elif fault == "malformed_row":
        line = json.dumps(values)[: len(item_id) + 60]
    else:
        column, wrong = _WRONG_VALUES[fault]
        values[column] = wrong
    return Row(values, picture, row.change, fault, line)


_WRONG_VALUES: dict[str, tuple[str, object]] = {
    "missing_item_id": ("item_id", None),
    "missing_image_uri": ("image_uri", None),
    "wrong_price": ("price", "cheap"),
    "wrong_in_stock": ("in_stock", "maybe"),
    "wrong_created_at": ("created_at", "last Tuesday"),
}
