"""Images to blocks, as a stream: packs are fetched and pictures decoded in threads, ahead of the encoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spark_jobs.embedding.blocks import UnitVectors, write_block
from spark_jobs.embedding.units import EmbeddingUnit
from vitrine.contracts.datasets import EmbeddingBlock
from vitrine.encoder import Encoder
from vitrine.errors import ContractError, ImageError, ObjectCorruptError
from vitrine.identity import sha256_hex
from vitrine.images.decoding import ACCEPTED_WORK
from vitrine.images.preprocessing import DEFAULT_MAX_PIXELS, Preprocessing
from vitrine.items.row_errors import unforeseen_at
from vitrine.ledger.attempts import EmbeddingBlocks
from vitrine.lookahead import ahead
from vitrine.storage import ObjectStore
from vitrine.storage.object_file import open_parquet

Item = TypeVar("Item")

PACKS_AHEAD = 1  # row groups that are fetched while one is in the encoder: each may hold tens of megabytes
BATCHES_AHEAD = 3  # decoded batches that wait for the encoder


@dataclass(frozen=True)
class PackedImages:
    """The images of one unit: names and bytes, in the order of the pack."""

    unit: EmbeddingUnit
    sha256s: list[str]
    contents: list[bytes]


def embed_images(
    units: Iterable[EmbeddingUnit],
    *,
    object_store: ObjectStore,
    blocks: EmbeddingBlocks,
    encoder: Encoder,
    catalog_id: str,
    batch_size: int,
    threads: int,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Iterator[tuple[EmbeddingUnit, EmbeddingBlock | None]]:
    """Yields each unit with the block committed for it, or None when it had one already or another attempt was first.

    Batches never reach over units, so a unit's vectors do not depend on what else the task embeds.

    Raises:
        ObjectCorruptError: bytes differ from the SHA-256 under which they were packed.
        ContractError: a pack does not hold what the manifest says, or a packed image cannot be decoded.
    """

    def fetch(unit: EmbeddingUnit) -> tuple[EmbeddingUnit, PackedImages | None]:
        standing = blocks.committed(catalog_id=catalog_id, fingerprint=encoder.fingerprint, source_ids=[unit.source_id])
        return unit, None if (unit.source_id, unit.row_group) in standing else read_unit(object_store, unit)

    def squares(batch: tuple[PackedImages, int]) -> NDArray[np.uint8]:
        images, row = batch
        return checked_square(images, row, preprocessing=encoder.preprocessing, max_pixels=max_pixels)

    with ThreadPoolExecutor(PACKS_AHEAD) as fetchers, ThreadPoolExecutor(threads) as decoders:
        for unit, images in ahead(fetchers, fetch, units, limit=PACKS_AHEAD):
            if images is None:
                yield unit, None
                continue
            rows = ((images, row) for row in range(len(images.sha256s)))
            decoded = ahead(decoders, squares, rows, limit=BATCHES_AHEAD * batch_size)
            with unforeseen_at(f"{unit.key}, row group {unit.row_group}"):
                encoded = [
                    encoder.encode_pixels(encoder.preprocessing.normalise(np.stack(batch)))
                    for batch in _batches(decoded, batch_size)
                ]
            vectors = UnitVectors(
                unit.source_id,
                unit.row_group,
                engine=encoder.engine,
                precision=encoder.precision,
                embedding_keys=images.sha256s,
                embeddings=np.concatenate([batch.embeddings for batch in encoded]),
                norms=np.concatenate([batch.norms for batch in encoded]),
            )
            committed = write_block(
                object_store, blocks, vectors, catalog_id=catalog_id, fingerprint=encoder.fingerprint
            )
            yield unit, committed


def read_unit(object_store: ObjectStore, unit: EmbeddingUnit) -> PackedImages:
    """Reads one row group of a pack by range reads.

    Raises:
        ContractError: the pack has no such row group.
    """
    with open_parquet(object_store, unit.key) as pack:
        if unit.row_group >= pack.num_row_groups:
            raise ContractError(
                f"s3://{object_store.bucket}/{unit.key}: expected row group {unit.row_group}, found "
                f"{pack.num_row_groups} of them; profile the delivery again"
            )
        table = pack.read_row_group(unit.row_group, columns=["image_sha256", "image_bytes"])
    return PackedImages(unit, table.column("image_sha256").to_pylist(), table.column("image_bytes").to_pylist())


def checked_square(
    images: PackedImages, row: int, *, preprocessing: Preprocessing, max_pixels: int
) -> NDArray[np.uint8]:
    """Checks one image against its SHA-256 and prepares it: (image_size, image_size, 3), uint8.

    Raises:
        ObjectCorruptError: the bytes are not those that were validated.
        ContractError: they cannot be decoded, although they could when they were validated.
    """
    content, expected = images.contents[row], images.sha256s[row]
    where = f"{images.unit.key}, row group {images.unit.row_group}, row {row}"
    if (found := sha256_hex(content)) != expected:
        raise ObjectCorruptError(
            f"{where}: expected image bytes of sha256 {expected}, found {found}; the pack was changed after it was "
            "validated, so nothing of it is embedded: delete the pack and profile the delivery again"
        )
    try:
        with unforeseen_at(f"{where}: image {expected}"):
            return preprocessing.square(preprocessing.decode(content, max_pixels=max_pixels, work=ACCEPTED_WORK))
    except ImageError as error:
        raise ContractError(f"{where}: image {expected} was accepted and cannot be decoded now: {error}") from error


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch
