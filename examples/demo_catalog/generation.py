"""Writing a whole catalog: plan, plant, draw, and the ground truth beside it."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from examples.demo_catalog.faults import plant_faults, shuffled
from examples.demo_catalog.ground_truth import write_ground_truth
from examples.demo_catalog.items_files import write_items
from examples.demo_catalog.pictures import Picture, picture_bytes
from examples.demo_catalog.plan import FORMATS, Delivery, Recipe, plan_deliveries
from examples.demo_catalog.scenes import SceneBox
from examples.demo_catalog.views import KINDS

# Called with (pictures drawn so far, pictures in all).
Progress = Callable[[int, int], None]
_Job = tuple[tuple[str, ...], Picture]
_Result = tuple[int, dict[Picture, tuple[SceneBox, ...]]]


def generate_catalog(
    out: Path | str,
    *,
    items: int = 2000,
    seed: int = 7,
    days: int = 3,
    start_date: date | str = date(2026, 11, 1),
    kinds: Sequence[str] = KINDS,
    include_faults: bool = True,
    fault_share: float = 0.025,
    max_views: int | None = None,
    formats: Sequence[str] = FORMATS,
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Write a demo catalog under `out` and return its summary (that of ground_truth/summary.json).

    `out/dt=YYYY-MM-DD/items.{parquet,jsonl,csv}` with `images/` for each of `days` days, `items` rows in all, and
    `out/ground_truth/`. `kinds` leaves out user photos or scenes, `max_views` keeps the first views of each product
    only. The same arguments give the same bytes, whatever `workers` is. Raises ValueError for arguments that make no
    catalog, FileExistsError when `out` holds files already.
    """
    folder = Path(out)
    recipe = _checked_recipe(items, seed, days, start_date, kinds, max_views, formats)
    if not 0.0 <= fault_share <= 0.5:
        raise ValueError(f"fault_share: expected 0 to 0.5, found {fault_share}")
    if workers < 1:
        raise ValueError(f"workers: expected at least 1, found {workers}")
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; remove it or choose another folder for the demo catalog")

    deliveries = plan_deliveries(recipe)
    if include_faults:
        deliveries = plant_faults(deliveries, seed=seed, share=fault_share)
    jobs = _jobs(folder, deliveries)
    boxes: dict[Picture, tuple[SceneBox, ...]] = {}
    done = 0
    for drawn, found in _drawn(jobs, workers):
        boxes.update(found)
        done += drawn
        if progress is not None:
            progress(done, len(jobs))
    deliveries = [shuffled(_with_boxes(delivery, boxes), seed=seed) for delivery in deliveries]
    for delivery in deliveries:
        write_items(folder / f"dt={delivery.dt}", delivery.format, delivery.rows)
    return write_ground_truth(folder / "ground_truth", recipe, deliveries)


def _checked_recipe(
    items: int,
    seed: int,
    days: int,
    start_date: date | str,
    kinds: Sequence[str],
    max_views: int | None,
    formats: Sequence[str],
) -> Recipe:
    if days < 1 or items < 10 * days:
        raise ValueError(f"expected at least one day and ten items a day, found days={days}, items={items}")
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, found {seed}")
    unknown = sorted(set(kinds) - set(KINDS)) + sorted(set(formats) - set(FORMATS))
    if unknown or not formats:
        raise ValueError(f"unknown names {unknown}; kinds are some of {list(KINDS)}, formats some of {list(FORMATS)}")
    if max_views is not None and max_views < 1:
        raise ValueError(f"max_views: expected at least 1, found {max_views}")
    first = date.fromisoformat(start_date) if isinstance(start_date, str) else start_date
    return Recipe(items, seed, days, first, tuple(kinds), max_views, tuple(formats))


def _jobs(folder: Path, deliveries: Sequence[Delivery]) -> list[_Job]:
    """One job for each different picture, with the files that hold it, products in a row; creates the folders."""
    paths: dict[Picture, dict[str, None]] = {}
    for delivery in deliveries:
        day = folder / f"dt={delivery.dt}"
        (day / "images").mkdir(parents=True, exist_ok=True)
        for row in delivery.rows:
            uri = row.values.get("image_uri")
            if row.picture is not None and uri is not None:
                paths.setdefault(row.picture, {})[str(day / str(uri))] = None
    # A product's cut-out is the dear part: all its views, of all days, come together.
    ordered = sorted(paths.items(), key=lambda entry: entry[0].parents[0].parent_id)
    return [(tuple(files), picture) for picture, files in ordered]


def _with_boxes(delivery: Delivery, boxes: dict[Picture, tuple[SceneBox, ...]]) -> Delivery:
    rows = []
    for row in delivery.rows:
        found = boxes.get(row.picture, ()) if row.picture is not None else ()
        text = json.dumps([{"parent_id": b.parent_id, "label": b.label, "box": list(b.box)} for b in found])
        rows.append(replace(row, values=row.values | {"boxes": text}) if found else row)
    return replace(delivery, rows=tuple(rows))


def _drawn(jobs: list[_Job], workers: int) -> Iterator[_Result]:
    """Draw every picture, chunk by chunk."""
    chunks = _chunks(jobs)
    if workers == 1:
        yield from map(_draw, chunks)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_draw, chunks)


def _chunks(jobs: list[_Job], size: int = 24) -> list[list[_Job]]:
    """Lists of about `size` jobs that keep the views of a product together, for its cut-out is drawn once."""
    chunks: list[list[_Job]] = []
    for job in jobs:
        if chunks and (len(chunks[-1]) < size or chunks[-1][-1][1].parents[:1] == job[1].parents[:1]):
            chunks[-1].append(job)
        else:
            chunks.append([job])
    return chunks


def _draw(chunk: list[_Job]) -> _Result:
    found: dict[Picture, tuple[SceneBox, ...]] = {}
    for paths, picture in chunk:
        content, boxes = picture_bytes(picture)
        if boxes:
            found[picture] = boxes
        for path in paths:
            if content is not None:
                Path(path).write_bytes(content)
    return len(chunk), found
