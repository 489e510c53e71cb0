"""Packs: accepted image bytes by SHA-256 in Parquet objects that are named by their content and its row groups.

A pack's rows are in order of their SHA-256. The bytes stand in the object as they are, uncompressed and in one piece,
so that one range read serves a picture and a row group is what embedding reads at a time.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from vitrine.errors import ContractError, ObjectCorruptError
from vitrine.identity import content_id, sha256_hex
from vitrine.storage import ObjectStore, keys

PACK_SCHEMA = pa.schema(
    [pa.field("image_sha256", pa.string(), nullable=False), pa.field("image_bytes", pa.binary(), nullable=False)]
)

_UNNAMED_ROWS = 256  # in a row group: an id holds the hashes alone where this makes as many groups


@dataclass(frozen=True)
class ImageToPack:
    """An image that goes into a pack: what it hashes to, its size, and where it lies now."""

    image_sha256: str
    size_bytes: int
    image_uri: str


@dataclass(frozen=True)
class ImageLocation:
    """Where an image's bytes lie."""

    image_sha256: str
    pack_id: str
    image_offset: int
    row_group: int


def plan_packs(images: Iterable[ImageToPack], *, max_bytes: int) -> Iterator[list[ImageToPack]]:
    """Cuts images, in their order, into packs of up to `max_bytes`; a larger image is a pack of its own."""
    pack: list[ImageToPack] = []
    size = 0
    for image in images:
        if pack and size + image.size_bytes > max_bytes:
            yield pack
            pack, size = [], 0
        pack.append(image)
        size += image.size_bytes
    if pack:
        yield pack


def store_pack(
    store: ObjectStore,
    images: Sequence[ImageToPack],
    *,
    catalog_id: str,
    rows_per_group: int,
    fetch: Callable[[Sequence[ImageToPack]], Iterable[bytes]],
) -> list[ImageLocation]:
    """Writes one pack unless it stands already, and returns where its images lie.

    Args:
        store: of the platform.
        images: in order of their SHA-256.
        catalog_id: whose pack it is.
        rows_per_group: the most images in a row group.
        fetch: returns the images' bytes in order; called only when the pack is not there yet.

    Raises:
        ObjectCorruptError: bytes differ from what was profiled, or the pack that stands from its name.
    """
    shas = [image.image_sha256 for image in images]
    pack_id = pack_name(shas, rows_per_group=rows_per_group)
    key = keys.image_pack(catalog_id, pack_id)
    if store.exists(key):
        # Its layout, and not that of this version of pyarrow, says where the bytes begin.
        data = store.get_bytes(key)
        return locate_images(data, pack_id=pack_id, expected=shas)
    contents = [_verified(image, content) for image, content in zip(images, fetch(images), strict=True)]
    data = pack_bytes(shas, contents, rows_per_group=rows_per_group)
    locations = locate_images(data, pack_id=pack_id, expected=shas)
    store.put_bytes(key, data)
    return locations


def pack_name(shas: Sequence[str], *, rows_per_group: int) -> str:
    """Returns the id of a pack: other row groups are other bytes and offsets, and so another pack."""
    groups = _group_count(len(shas), rows_per_group)
    if groups == _group_count(len(shas), _UNNAMED_ROWS):
        return content_id("pack", shas)
    return content_id("pack", {"images": shas, "row_groups": groups})


def pack_bytes(shas: Sequence[str], contents: Sequence[bytes], *, rows_per_group: int) -> bytes:
    """Returns a pack; its row groups are of equal size, give or take one, so that no unit of embedding is tiny."""
    groups = _group_count(len(shas), rows_per_group)
    stream = io.BytesIO()
    # No statistics: they would repeat whole images in the footer. Pages are plain, so the bytes stand as they are.
    with pq.ParquetWriter(
        stream, PACK_SCHEMA, compression="none", use_dictionary=False, write_statistics=False, store_schema=False
    ) as writer:
        for group in range(groups):
            rows = slice(group * len(shas) // groups, (group + 1) * len(shas) // groups)
            columns = [pa.array(shas[rows], pa.string()), pa.array(contents[rows], pa.binary())]
            table = pa.Table.from_arrays(columns, schema=PACK_SCHEMA)
            writer.write_table(table, row_group_size=table.num_rows)
    return stream.getvalue()


def locate_images(data: bytes, *, pack_id: str, expected: Sequence[str]) -> list[ImageLocation]:
    """Finds each image in a pack's bytes, and checks it against its SHA-256.

    Raises:
        ObjectCorruptError: the pack does not hold the images that its name stands for.
        ContractError: the bytes do not stand in the pack as they are.
    """
    locations: list[ImageLocation] = []
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        groups = [file.read_row_group(number) for number in range(file.num_row_groups)]
    except pa.ArrowException as error:
        raise ObjectCorruptError(
            f"pack {pack_id} is not a readable Parquet file: {error}; delete it and run again"
        ) from error
    for number, group in enumerate(groups):
        position = 0 if not locations else locations[-1].image_offset
        for sha, content in zip(group.column(0).to_pylist(), group.column(1).to_pylist(), strict=True):
            if sha256_hex(content) != sha:
                raise ObjectCorruptError(f"pack {pack_id}: image {sha} has other bytes; delete the pack and run again")
            offset = _find(data, content, position)
            if offset is None:
                raise ContractError(f"pack {pack_id}: image {sha} does not stand in it in one piece")
            locations.append(ImageLocation(sha, pack_id, offset, number))
            position = offset + len(content)
    if [location.image_sha256 for location in locations] != list(expected):
        raise ObjectCorruptError(f"pack {pack_id} holds other images than its name; delete it and run again")
    return locations


def _group_count(images: int, rows_per_group: int) -> int:
    return -(-images // rows_per_group)


def _verified(image: ImageToPack, content: bytes) -> bytes:
    if (found := sha256_hex(content)) != image.image_sha256:
        raise ObjectCorruptError(
            f"{image.image_uri}: expected the bytes of sha256 {image.image_sha256} that were profiled, found {found}; "
            "the image was changed meanwhile: run the profile again"
        )
    return content


def _find(data: bytes, content: bytes, position: int) -> int | None:
    """Returns where `content` begins; Parquet writes its length, four bytes, before each plain value."""
    start = len(content).to_bytes(4, "little") + content[:64]
    while (found := data.find(start, position)) >= 0:
        if data[found + 4 : found + 4 + len(content)] == content:
            return found + 4
        position = found + 1
    return None
