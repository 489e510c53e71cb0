"""A training set in a real object store, read as mining writes it."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from spark_jobs.profiling.packs.image_packs import pack_bytes
from training.data.image_bytes import PackReader
from training.data.samples import Pair, Sample
from training.data.stored_samples import read_training_set
from training.loop.worker import TrainingSetSource
from vitrine.contracts.datasets import PartFile
from vitrine.contracts.training_sets import (
    MiningParameters,
    TrainingSet,
    negative_schema,
    pair_schema,
    sample_schema,
    training_window,
)
from vitrine.errors import ContractError, ObjectCorruptError
from vitrine.identity import sha256_hex
from vitrine.storage import ObjectStore, keys

CATALOG, TRAINING_SET = "shop", "training-1"
PACK = keys.image_pack(CATALOG, "pack-1")
Rows = list[dict[str, Any]]


def picture(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


CONTENTS = [picture(seed) for seed in range(5)]  # row groups of two, two and one


def sample_row(number: int, **others: Any) -> dict[str, Any]:
    row = dict.fromkeys(sample_schema().names) | {
        "item_id": f"i{number}",
        "image_sha256": sha256_hex(CONTENTS[number]),
        "split": "train",
        "near_duplicate_group": f"g{number}",
        "pack_key": PACK,
        "row_group": place_of(number)[0],
        "row": place_of(number)[1],
    }
    return row | others


def place_of(number: int) -> tuple[int, int]:
    """Equal row groups, give or take one, as the packs have."""
    bounds = [group * len(CONTENTS) // 3 for group in range(4)]
    group = next(place for place in range(3) if number < bounds[place + 1])
    return group, number - bounds[group]


def write_training_set(store: ObjectStore, *, samples: Rows, pairs: Rows = (), negatives: Rows = ()) -> None:  # type: ignore[assignment]
    """Writes the pack, a part of each kind, and the document last."""
    store.put_bytes(PACK, pack_bytes([sha256_hex(content) for content in CONTENTS], CONTENTS, rows_per_group=2))
    prefix = keys.training_set_prefix(CATALOG, TRAINING_SET)

    def part(kind: str, rows: Rows, schema: pa.Schema) -> tuple[PartFile, ...]:
        stream = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), stream)
        key = f"{prefix}/{kind}/part-00000.parquet"
        store.put_bytes(key, stream.getvalue())
        return (PartFile(key=key, rows=len(rows), sha256=sha256_hex(stream.getvalue())),)

    parameters = MiningParameters.model_validate({})
    days = {"events_from": "2026-01-01", "events_until": "2026-03-01", "as_of": "2026-03-01"}
    document = TrainingSet(
        training_set_id=TRAINING_SET,
        catalog_id=CATALOG,
        as_of="2026-03-01",
        window=training_window(**days, parameters=parameters),
        parameters=parameters,
        manifests={"2026-03-01": "manifest-1"},
        embedding_set_id=None,
        fingerprint=None,
        events=0,
        samples=part("samples", samples, sample_schema()),
        pairs=part("pairs", pairs, pair_schema()),
        negatives=part("negatives", negatives, negative_schema()),
        samples_by_split={},
        pairs_by_split={},
        negatives_by_split={},
        left_out={},
        propensities={},
    )
    store.put_bytes(f"{prefix}/training_set.json", document.to_bytes())


@pytest.fixture
def written(object_store: ObjectStore) -> Callable[..., ObjectStore]:
    def write(**parts: Rows) -> ObjectStore:
        write_training_set(object_store, **parts)
        return object_store

    return write


def read(store: ObjectStore) -> Any:
    return read_training_set(store, catalog_id=CATALOG, training_set_id=TRAINING_SET)


def test_samples_pairs_and_negatives_are_read(written: Callable[..., ObjectStore]) -> None:
    said = {"title": "red shoe", "category": "shoes", "photo_kind": "user", "parent_id": "p1", "split": "test"}
    store = written(
        samples=[sample_row(1, **said), sample_row(0)],
        pairs=[
            {"anchor_item_id": "i0", "positive_item_id": "i1", "source": "co_click", "weight": 0.5},
            {"anchor_item_id": "i0", "positive_item_id": "i2", "source": "view", "weight": 1.0},
        ],
        negatives=[
            {"anchor_item_id": "i0", "hard_negative_item_id": "i4", "source": "neighbour", "score": 0.9},
            {"anchor_item_id": "i0", "hard_negative_item_id": "i3", "source": "category", "score": None},
        ],
    )

    found = read(store)

    assert found.data_id == TRAINING_SET
    assert [sample.item_id for sample in found.samples] == ["i0", "i1"]
    assert found.samples[0].parent_id == "item:i0"
    assert found.samples[1] == Sample(**sample_row(1, **said))
    assert found.pairs == (Pair("i0", "i1", 0.5),)
    assert found.hard_negatives == (("i0", ("i3", "i4")),)


def test_images_come_out_of_the_packs_in_any_order(written: Callable[..., ObjectStore]) -> None:
    store = written(samples=[sample_row(number) for number in range(5)])
    samples = read(store).samples
    shuffled = [samples[number] for number in (3, 0, 4, 1, 2)]
    reader = PackReader(store)

    assert list(reader.read(shuffled)) == [CONTENTS[number] for number in (3, 0, 4, 1, 2)]
    assert [sample.item_id for sample in sorted(shuffled, key=reader.place)] == ["i0", "i1", "i2", "i3", "i4"]


@pytest.mark.parametrize(("place", "message"), [({"row_group": 9}, "row group 9"), ({"row": 7}, "no row 7")])
def test_a_place_that_a_pack_does_not_have_is_named(
    written: Callable[..., ObjectStore], place: dict[str, int], message: str
) -> None:
    store = written(samples=[sample_row(0, **place)])

    with pytest.raises(ObjectCorruptError, match=message):
        list(PackReader(store).read(read(store).samples))


def test_a_source_reaches_another_process_whole(written: Callable[..., ObjectStore]) -> None:
    source = TrainingSetSource(written(samples=[sample_row(0)]), CATALOG, TRAINING_SET)

    found = pickle.loads(pickle.dumps(source))

    assert found.read() == source.read()
    assert list(found.image_reader().read(found.read().samples)) == [CONTENTS[0]]


def test_a_split_that_is_none_is_refused(written: Callable[..., ObjectStore]) -> None:
    store = written(samples=[sample_row(0, split="holdout")])

    with pytest.raises(ContractError, match="item i0: expected split to be one of train, validation, test"):
        read(store)


def test_a_part_that_was_changed_is_refused(written: Callable[..., ObjectStore]) -> None:
    store = written(samples=[sample_row(0)])
    store.put_bytes(f"{keys.training_set_prefix(CATALOG, TRAINING_SET)}/samples/part-00000.parquet", b"other")

    with pytest.raises(ObjectCorruptError, match="expected sha256"):
        read(store)


def test_a_training_set_that_is_not_there_says_how_to_mine_one(object_store: ObjectStore) -> None:
    with pytest.raises(ContractError, match="has no training set training-1; mine one"):
        read(object_store)
