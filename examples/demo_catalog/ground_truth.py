"""The ground truth beside a generated catalog: what its products are, what each row shows, what was planted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from examples.demo_catalog.faults import FAULTS
from examples.demo_catalog.parents import Parent
from examples.demo_catalog.plan import Delivery, Recipe, Row
from examples.demo_catalog.views import view_params


def write_ground_truth(folder: Path, recipe: Recipe, deliveries: Sequence[Delivery]) -> dict[str, object]:
    """Write parents, views and faults as Parquet, and summary.json; return the summary."""
    folder.mkdir(parents=True, exist_ok=True)
    parents = deliveries[-1].parents
    numbered = [(delivery, number, row) for delivery in deliveries for number, row in enumerate(delivery.rows)]
    _write(folder / "parents.parquet", [_parent(parent) for parent in parents])
    _write(folder / "views.parquet", [_view(delivery.dt, number, row) for delivery, number, row in numbered])
    faults = [_fault(delivery.dt, number, row) for delivery, number, row in numbered if row.fault]
    _write(folder / "faults.parquet", faults, schema=_FAULTS_SCHEMA)
    summary = _summary(recipe, deliveries)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


_FAULTS_SCHEMA = pa.schema(
    [
        ("dt", pa.string()),
        ("row_number", pa.int64()),
        ("item_id", pa.string()),
        ("fault", pa.string()),
        ("reason", pa.string()),
        ("accepted", pa.bool_()),
    ]
)


def _parent(parent: Parent) -> dict[str, object]:
    row = asdict(parent)
    return row | {"rgb": list(parent.rgb), "accent_rgb": list(parent.accent_rgb), "shape": list(parent.shape)}


def _view(dt: str, number: int, row: Row) -> dict[str, object]:
    picture = row.picture
    is_view = picture is not None and picture.kind != "scene"
    params = asdict(view_params(picture.parents[0], picture.view_index, picture.kind)) if picture and is_view else {}
    return {
        "dt": dt,
        "row_number": number,
        "item_id": row.values.get("item_id"),
        "image_uri": row.values.get("image_uri"),
        "parent_id": picture.parents[0].parent_id if picture and is_view else row.values.get("parent_id"),
        "kind": picture.kind if picture else row.values.get("kind"),
        "view_index": picture.view_index if picture else None,
        "change": row.change,
        "created_at": row.values.get("created_at"),
        "fault": row.fault,
        "format": picture.format if picture else None,
        "treatment": picture.treatment if picture else "",
        "view_params": json.dumps(params),
        "boxes": row.values.get("boxes"),
    }


def _fault(dt: str, number: int, row: Row) -> dict[str, object]:
    fault = FAULTS[row.fault]
    item_id = None if row.line is not None else row.values.get("item_id")
    return {
        "dt": dt,
        "row_number": number,
        "item_id": item_id,
        "fault": fault.name,
        "reason": fault.reason or None,
        "accepted": fault.accepted,
    }


def _summary(recipe: Recipe, deliveries: Sequence[Delivery]) -> dict[str, object]:
    days = {}
    for delivery in deliveries:
        reasons = Counter(
            FAULTS[row.fault].reason for row in delivery.rows if row.fault and not FAULTS[row.fault].accepted
        )
        days[delivery.dt] = {
            "format": delivery.format,
            "rows": len(delivery.rows),
            "rows_accepted": len(delivery.rows) - sum(reasons.values()),
            "rows_rejected": sum(reasons.values()),
            "rejected_by_reason": dict(sorted(reasons.items())),
            "changes": dict(sorted(Counter(row.change for row in delivery.rows).items())),
            "kinds": dict(sorted(Counter(str(row.values["kind"]) for row in delivery.rows).items())),
            "faults": dict(sorted(Counter(row.fault for row in delivery.rows if row.fault).items())),
        }
    return {
        "items": recipe.items,
        "seed": recipe.seed,
        "start_date": recipe.start_date.isoformat(),
        "rows": sum(len(delivery.rows) for delivery in deliveries),
        "parents": len(deliveries[-1].parents),
        "live_items": len(_live(deliveries)),
        "days": days,
    }


def _live(deliveries: Sequence[Delivery]) -> set[str]:
    """The item ids that the head holds after all days, if the faulty rows are rejected as they should be."""
    live: set[str] = set()
    for delivery in deliveries:
        for row in delivery.rows:
            if row.fault and not FAULTS[row.fault].accepted:
                continue
            item_id = str(row.values["item_id"])
            live.discard(item_id) if row.change == "delete" else live.add(item_id)
    return live


def _write(path: Path, rows: list[dict[str, object]], *, schema: pa.Schema | None = None) -> None:
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd")
