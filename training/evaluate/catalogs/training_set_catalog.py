"""The catalog of a report from a training set: held-out items with their gallery, pictures brought from the packs."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from training.data.image_bytes import PackReader
from training.data.samples import Sample
from training.data.stored_samples import read_training_set
from training.evaluate.catalogs.catalog import EvaluationCatalog
from vitrine.errors import ContractError
from vitrine.progress import progress
from vitrine.storage import ObjectStore


def fetch_training_set_catalog(
    object_store: ObjectStore, *, catalog_id: str, training_set_id: str, into: Path, max_gallery: int
) -> EvaluationCatalog:
    """Writes the pictures of a training set to a folder and returns them as a catalog to report on.

    All of the test split are there. Of the other splits so many are drawn by their hash that `max_gallery` pictures
    are searched: the same ones for every encoder. Scenes have no boxes in a training set, so that no crop is asked.

    Args:
        into: a folder of the caller's, which removes it.
        max_gallery: pictures at most, unless the test split alone holds more.

    Raises:
        ContractError: the training set has no test split, so nothing can be asked that was not learned from.
    """
    data = read_training_set(object_store, catalog_id=catalog_id, training_set_id=training_set_id)
    asked = data.of_split("test")
    if not asked:
        raise ContractError(
            f"training set {training_set_id}: expected items in its test split, found none; mine one with more "
            "test_days, or with newer partitions"
        )
    others = sorted((sample for sample in data.samples if sample.split != "test"), key=_drawn)
    chosen = [*asked, *others[: max(0, max_gallery - len(asked))]]
    reader, paths = PackReader(object_store), {}
    into.mkdir(parents=True, exist_ok=True)
    placed = sorted(chosen, key=reader.place)
    with progress("pictures fetched", total=len(placed)) as advance:
        for sample, data_bytes in zip(placed, reader.read(placed), strict=True):
            paths[sample.item_id] = into / sample.image_sha256
            paths[sample.item_id].write_bytes(data_bytes)
            advance(1)
    samples = sorted((replace(sample, path=paths[sample.item_id]) for sample in chosen), key=lambda s: s.item_id)
    return EvaluationCatalog(name=catalog_id, samples=tuple(samples), boxes={}, unusable=0, split_by="time")


def _drawn(sample: Sample) -> str:
    # By product, so that the views of one come together.
    return hashlib.sha256(sample.parent_id.encode()).hexdigest()
