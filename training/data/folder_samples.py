"""Samples from a folder in the items format, without a training set: for one machine, and for reports."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from training.data.folder_items import Row, read_head, text
from training.data.samples import Sample, Split, TrainingData, samples_id
from vitrine.duplicates.disjoint_sets import DisjointSets
from vitrine.errors import ContractError
from vitrine.identity import sha256_hex
from vitrine.images.photo_kinds import photo_kind_of
from vitrine.settings import Settings

VALIDATION_SHARE, TEST_SHARE = 0.1, 0.2
_STRICTNESS: tuple[Split, ...] = ("train", "validation", "test")
_SPLITS: Mapping[str, Split] = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "test": "test",
}


@dataclass(frozen=True)
class FolderSamples:
    """The samples of a folder.

    Attributes:
        folder: that was read.
        samples: in order of `item_id`.
        unusable_rows: rows that are broken, or without an image that is there.
        split_by: `column` when the items say their split, else `time`.
    """

    folder: Path
    samples: tuple[Sample, ...]
    unusable_rows: int
    split_by: str

    def training_data(self) -> TrainingData:
        """Returns what a training reads: views of one parent are the positives."""
        return TrainingData(data_id=samples_id(self.samples), samples=self.samples)


def read_folder_samples(
    folder: Path, settings: Settings, *, image_is_sound: Callable[[Path], bool] | None = None
) -> FolderSamples:
    """Reads every item of a folder that has an image, and one that is sound where that is asked.

    The optional column (or attribute) `split` says where an item stands; the items of a `train` without any
    `validation` give a tenth of their parents to it, chosen by a hash. Without the column the parents that came last
    (by the `created_at` of their first item) are the test and those before them the validation. Pictures of the same
    bytes stand on one side, whatever their parents are: where the column says two, on the later one.
    The optional column `kind` (or `photo_kind`) says how the picture was made.

    Raises:
        ContractError: the folder holds no items file, or none of its items has an image.
    """
    rows, unusable = read_head(folder, settings, image_is_sound=image_is_sound)
    samples: list[Sample] = []
    stated: dict[str, Split] = {}
    for row, base in rows:
        path = _image_path(row, base)
        if path is None:
            unusable += 1
            continue
        sample = _sample(row, path)
        samples.append(sample)
        if (split := _SPLITS.get((text(row, "split") or "").lower())) is not None:
            stated[sample.item_id] = split
    if not samples:
        raise ContractError(f"{folder}: {len(rows)} items, and none has an image file that is there; see image_uri")
    parts = _stated(samples, stated) if stated else _by_time(samples)
    return FolderSamples(
        folder=folder,
        samples=tuple(replace(sample, split=parts[sample.item_id]) for sample in samples),
        unusable_rows=unusable,
        split_by="column" if stated else "time",
    )


def _sample(row: Row, path: Path) -> Sample:
    item_id = text(row, "item_id") or ""
    sha256 = sha256_hex(path.read_bytes())
    return Sample(
        item_id=item_id,
        image_sha256=sha256,
        parent_id=text(row, "parent_id") or f"item:{item_id}",
        split="train",
        near_duplicate_group=sha256,
        category=text(row, "category"),
        brand=text(row, "brand"),
        color=text(row, "color"),
        title=text(row, "title"),
        description=text(row, "description"),
        created_at=text(row, "created_at"),
        photo_kind=photo_kind_of(json.dumps({name: text(row, name) for name in ("photo_kind", "kind")})),
        path=path,
    )


def _image_path(row: Row, base: Path) -> Path | None:
    uri = text(row, "image_uri")
    if uri is None or "://" in uri:
        return None
    path = base / uri
    return path if path.resolve().is_relative_to(base.resolve()) and path.is_file() else None


def _stated(samples: list[Sample], stated: Mapping[str, Split]) -> dict[str, Split]:
    """What the column says; an item of which it says nothing trains, and what is tested on nowhere else."""
    sides: dict[str, set[Split]] = defaultdict(set)
    for sample in samples:
        sides[sample.image_sha256].add(stated.get(sample.item_id, "train"))
    parts = {sample.item_id: max(sides[sample.image_sha256], key=_STRICTNESS.index) for sample in samples}
    if "validation" in parts.values():
        return parts
    groups = _groups(samples)
    tested = {groups[sample.item_id] for sample in samples if parts[sample.item_id] == "test"}
    held: dict[str, Split] = {
        item_id: "validation"
        for item_id, part in parts.items()
        if part == "train" and groups[item_id] not in tested and _share(groups[item_id]) < VALIDATION_SHARE
    }
    return {**parts, **held}


def _by_time(samples: list[Sample]) -> dict[str, Split]:
    groups = _groups(samples)
    first: dict[str, float] = {}
    for sample in samples:
        group = groups[sample.item_id]
        first[group] = min(first.get(group, float("inf")), _seconds(sample.created_at))
    # Of one time, as in a catalog that tells none, by a hash: by name would test on the end of the alphabet.
    ordered = sorted(first, key=lambda group: (first[group], _share(group), group))
    tested, held = round(len(ordered) * TEST_SHARE), round(len(ordered) * VALIDATION_SHARE)
    train = len(ordered) - tested - held
    splits: dict[str, Split] = {
        group: "train" if place < train else "validation" if place < train + held else "test"
        for place, group in enumerate(ordered)
    }
    return {sample.item_id: splits[groups[sample.item_id]] for sample in samples}


def _groups(samples: list[Sample]) -> dict[str, str]:
    """The group of each item that must not be torn apart: parents joined by pictures of the same bytes."""
    groups = DisjointSets((f"parent:{sample.parent_id}", f"image:{sample.image_sha256}") for sample in samples)
    return {sample.item_id: groups.name_of(f"parent:{sample.parent_id}") for sample in samples}


def _seconds(created_at: str | None) -> float:
    """Seconds since 1970; an item of which no time is known counts as one of the oldest."""
    try:
        when = datetime.fromisoformat((created_at or "").strip())
    except ValueError:
        return 0.0
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _share(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32
