"""Reads a training set that mining wrote: its Parquet parts in the object store, by the keys its document names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, get_args

from training.data.samples import Pair, Sample, Split, TrainingData
from vitrine.contracts.datasets import PartFile
from vitrine.contracts.training_sets import TrainingSet
from vitrine.errors import ContractError, ObjectCorruptError, ObjectMissingError
from vitrine.identity import sha256_hex
from vitrine.storage import ObjectStore, keys

_VIEW = "view"


def read_training_set(object_store: ObjectStore, *, catalog_id: str, training_set_id: str) -> TrainingData:
    """Reads samples, pairs and hard negatives; views of one parent are positives anyway and are not kept as pairs.

    Raises:
        ContractError: there is no such training set, or a row breaks its contract.
        ObjectCorruptError: a part differs from its recorded SHA-256.
    """
    key = f"{keys.training_set_prefix(catalog_id, training_set_id)}/training_set.json"
    try:
        document = TrainingSet.from_bytes(object_store.get_bytes(key))
    except ObjectMissingError as error:
        raise ContractError(
            f"s3://{object_store.bucket}/{key}: catalog {catalog_id} has no training set {training_set_id}; "
            "mine one: python -m spark_jobs mine"
        ) from error
    samples = sorted(_samples(object_store, document), key=lambda sample: sample.item_id)
    pairs = [
        Pair(row["anchor_item_id"], row["positive_item_id"], float(row["weight"]))
        for row in _rows(object_store, document.pairs)
        if row["source"] != _VIEW
    ]
    negatives: dict[str, list[str]] = defaultdict(list)
    for row in _rows(object_store, document.negatives):
        negatives[row["anchor_item_id"]].append(row["hard_negative_item_id"])
    return TrainingData(
        data_id=document.training_set_id,
        samples=tuple(samples),
        pairs=tuple(sorted(pairs, key=lambda pair: (pair.anchor_item_id, pair.positive_item_id, pair.weight))),
        hard_negatives=tuple((anchor, tuple(sorted(negatives[anchor]))) for anchor in sorted(negatives)),
    )


def _samples(object_store: ObjectStore, document: TrainingSet) -> Iterator[Sample]:
    for row in _rows(object_store, document.samples):
        if row["split"] not in get_args(Split):
            raise ContractError(
                f"training set {document.training_set_id}: item {row['item_id']}: expected split to be one of "
                f"{', '.join(get_args(Split))}, found {row['split']!r}; mine the set again"
            )
        yield Sample(**{**row, "parent_id": row["parent_id"] or f"item:{row['item_id']}"})


def _rows(object_store: ObjectStore, parts: tuple[PartFile, ...]) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for part in parts:
        data = object_store.get_bytes(part.key)
        if (found := sha256_hex(data)) != part.sha256:
            raise ObjectCorruptError(
                f"s3://{object_store.bucket}/{part.key}: expected sha256 {part.sha256}, found {found}; "
                "mine the training set again"
            )
        yield from pq.read_table(pa.BufferReader(data)).to_pylist()
