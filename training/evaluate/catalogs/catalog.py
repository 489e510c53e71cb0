"""The catalog that a report is about: its items with a picture that can be decoded, and the boxes of its scenes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

from training.data.folder_items import read_head, text
from training.data.folder_samples import read_folder_samples
from training.data.samples import Sample, samples_id
from vitrine.errors import ContractError, ImageError
from vitrine.images.decoding import decode_image
from vitrine.settings import Settings


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, or a part of one.

    Attributes:
        path: of the image file.
        box: left, top, right, bottom in pixels of the upright picture; None: all of it.
    """

    path: Path
    box: tuple[int, int, int, int] | None = None

    def open(self) -> Image.Image:
        """Decodes it: upright RGB, cut to the box.

        Raises:
            ImageError: it cannot be decoded.
        """
        image = decode_image(self.path.read_bytes())
        return image if self.box is None else image.crop(self.box)

    def read_bytes(self) -> bytes:
        """Returns the file of a whole picture.

        Raises:
            ContractError: it is a part of one.
        """
        if self.box is not None:
            raise ContractError(f"{self.path}: only a part of the picture is asked for, and a file holds all of it")
        return self.path.read_bytes()


@dataclass(frozen=True, slots=True)
class SceneBox:
    """Where a product stands in a scene."""

    parent_id: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class EvaluationCatalog:
    """What a report is about.

    Attributes:
        name: of the catalog.
        samples: items whose picture can be decoded, in order of `item_id`; each has a path.
        boxes: of the scenes, by `item_id`.
        unusable: rows left out: broken, without an image, or with one that cannot be decoded.
        split_by: `column` when the items say their split, else `time`.
    """

    name: str
    samples: tuple[Sample, ...]
    boxes: Mapping[str, tuple[SceneBox, ...]]
    unusable: int
    split_by: str

    @property
    def data_id(self) -> str:
        """Names the items, whatever folder they lie in."""
        return samples_id(self.samples)


def read_evaluation_catalog(folder: Path, settings: Settings) -> EvaluationCatalog:
    """Reads a folder in the items format.

    Scenes say their boxes in the column or attribute `boxes`: a JSON list of `{"parent_id": …, "box": [left, top,
    right, bottom]}` in pixels.

    Raises:
        ContractError: the folder holds no items file, or no item has a picture that can be decoded.
    """
    # A picture that ingest would reject leaves the row before it: it is judged while it is settled which row counts.
    is_sound = cache(decodes)
    found = read_folder_samples(folder, settings, image_is_sound=is_sound)
    rows, _ = read_head(folder, settings, image_is_sound=is_sound)
    known = {sample.item_id for sample in found.samples}
    boxes = {item_id: parsed for row, _ in rows if (item_id := text(row, "item_id")) and (parsed := _boxes(row))}
    return EvaluationCatalog(
        name=folder.resolve().name,
        samples=found.samples,
        boxes={item_id: parsed for item_id, parsed in boxes.items() if item_id in known},
        unusable=found.unusable_rows,
        split_by=found.split_by,
    )


def picture_of(sample: Sample) -> Picture:
    """Returns the whole picture of an item.

    Raises:
        ContractError: its picture lies in no folder.
    """
    if sample.path is None:
        raise ContractError(f"item {sample.item_id} has no image file; a report reads a folder in the items format")
    return Picture(sample.path)


def decodes(path: Path) -> bool:
    """Says whether a file is a picture that can be decoded."""
    try:
        Picture(path).open()
    except (ImageError, OSError):
        return False
    return True


def _boxes(row: Mapping[str, object]) -> tuple[SceneBox, ...]:
    value = text(row, "boxes")
    given = row.get("boxes")
    try:
        entries = given if isinstance(given, list) else json.loads(value or "[]")
        boxes = [
            SceneBox(str(entry["parent_id"]), (int(left), int(top), int(right), int(bottom)))
            for entry in entries
            for left, top, right, bottom in [entry["box"]]
        ]
    except (ValueError, TypeError, KeyError):
        return ()  # a scene whose boxes cannot be read asks nothing
    return tuple(box for box in boxes if box.box[0] < box.box[2] and box.box[1] < box.box[3])
