"""A head of any size that nobody delivered: texts, attributes, shared pictures and near duplicates, by seed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index_builder.metadata.staged_head import HEAD_COLUMNS
from vitrine.contracts.items import manifest_items_schema

PACK_ROWS = 16_384
_SHARED = 0.03  # of pictures that stand under a second id
_NEAR = 0.02  # of pictures that differ in two bits of their hash from another
_WORDS = 400
_NAMES = {
    "category": 300,
    "brand": 5_000,
    "color": 14,
}


class SyntheticHead:
    """`items` rows in packs of 16,384; the index's rows follow the packs, as in `index_builder.builds`."""

    def __init__(self, items: int) -> None:
        self.items = items
        self._packs = -(-items // PACK_ROWS)
        generator = np.random.default_rng(1)
        self._words = pa.array([f"word{number}" for number in range(_WORDS)])
        self._looks = generator.integers(0, 1 << 63, size=20_000, dtype=np.uint64) << np.uint64(1)
        materials = ("wool", "silk", "cotton", "linen", "steel", "wood", "glass", "clay")
        texts = [
            f'{{"material":"{material}","season":"{season}","size":{size},"weight_g":{weight}}}'
            for material in materials
            for season in ("spring", "summer", "autumn", "winter")
            for size in range(30, 60)
            for weight in range(100, 2_100, 50)
        ]
        self._attributes = pa.array(texts)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yields the head as deliveries bring it."""
        for pack in range(self._packs):
            yield self._batch(pack)

    def index_rows(self) -> Iterator[pa.RecordBatch]:
        """Yields `item_id` and `embedding_key` in the index's order: packs by their ids, rows by their keys."""
        for pack in np.random.default_rng(2).permutation(self._packs).tolist():
            batch = self._named(pack, self._generator(pack))
            yield batch.take(pc.sort_indices(batch, [("embedding_key", "ascending"), ("item_id", "ascending")]))

    def _generator(self, pack: int) -> np.random.Generator:
        return np.random.default_rng([3, pack])

    def _named(self, pack: int, generator: np.random.Generator) -> pa.RecordBatch:
        numbers = np.arange(pack * PACK_ROWS, min((pack + 1) * PACK_ROWS, self.items))
        scattered = (numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)).byteswap()
        keys = generator.bytes(32 * len(numbers))
        hashes = np.frombuffer(keys, dtype="V32").copy()
        shared = np.flatnonzero(generator.random(len(numbers)) < _SHARED)
        hashes[shared] = hashes[shared - 1]
        return pa.RecordBatch.from_pydict({"item_id": _hex(scattered, 8), "embedding_key": _hex(hashes, 32)})

    def _batch(self, pack: int) -> pa.RecordBatch:
        generator = self._generator(pack)
        named = self._named(pack, generator)
        count = named.num_rows
        same = np.frombuffer(named["embedding_key"].buffers()[2], dtype="V64")
        looks = self._looks[generator.integers(0, len(self._looks), count)]
        flips = generator.random((count, 64)) < 0.25
        looks = looks ^ np.packbits(flips, axis=1).view(np.uint64).ravel()
        near = np.flatnonzero(generator.random(count) < _NEAR)
        looks[near] = looks[near - 1] ^ np.uint64(0b11 << 20)
        twins = np.flatnonzero(same[1:] == same[:-1]) + 1
        looks[twins] = looks[twins - 1]
        columns: dict[str, pa.Array] = {
            "item_id": named["item_id"],
            "embedding_key": named["embedding_key"],
            "image_sha256": named["embedding_key"],
            "perceptual_hash": _hex(looks.byteswap(), 8),
            "title": self._text(generator, count, 6),
            "description": self._text(generator, count, 30),
            "parent_id": pa.array([f"product-{(pack * PACK_ROWS + place) // 4:09d}" for place in range(count)]),
            "price": pa.array(np.round(generator.lognormal(3.5, 1.0, count), 2)),
            "in_stock": pa.array(generator.random(count) < 0.8),
            "created_at": pa.array(
                1_700_000_000_000_000 + generator.integers(0, 700, count) * 86_400_000_000, pa.int64()
            ).cast(pa.timestamp("us", tz="UTC")),
            "attributes": self._attributes.take(pa.array(generator.integers(0, len(self._attributes), count))),
            "image_format": _repeated("JPEG", count),
            "pack_id": _repeated(f"pack-{pack:020d}", count),
            "image_offset": pa.array(np.arange(count) * 40_000),
            "image_size_bytes": pa.array(generator.integers(20_000, 60_000, count)),
            "image_width": pa.array(np.full(count, 500, dtype=np.int32)),
            "image_height": pa.array(np.full(count, 500, dtype=np.int32)),
        }
        for name, distinct in _NAMES.items():
            # A power law: a few categories hold most items.
            drawn = np.minimum(generator.zipf(1.3, count), distinct) - 1
            columns[name] = pa.array([f"{name} {number}" for number in range(distinct)]).take(pa.array(drawn))
        schema = pa.schema([manifest_items_schema().field(name) for name in HEAD_COLUMNS])
        return pa.RecordBatch.from_arrays([columns[name] for name in HEAD_COLUMNS], schema=schema)

    def _text(self, generator: np.random.Generator, count: int, words: int) -> pa.Array:
        drawn = [self._words.take(pa.array(generator.integers(0, _WORDS, count))) for _ in range(words)]
        return pc.binary_join_element_wise(*drawn, " ")


def _hex(values: NDArray, width: int) -> pa.Array:
    digits = np.ascontiguousarray(values).tobytes().hex().encode()
    offsets = np.arange(0, len(digits) + 1, 2 * width, dtype=np.int32)
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(digits))


def _repeated(text: str, count: int) -> pa.Array:
    return pa.array([text]).take(pa.array(np.zeros(count, dtype=np.int64)))
