"""The images of a delivered folder: hashed where they lie, then copied, and never as other bytes than were hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from spark_jobs.deliveries.image_listing import ImageListing
from vitrine.errors import DeliveryError
from vitrine.identity import sha256_hex
from vitrine.items.byte_ranges import CHUNK_BYTES
from vitrine.items.image_uris import is_relative, relative_path
from vitrine.lookahead import ahead
from vitrine.progress import Advance
from vitrine.storage import ObjectStore
from vitrine.storage.object_file import StoredBytes
from vitrine.storage.object_store import file_sha256

_BATCH = 512
# Up to this size a file is read once, and the bytes that were hashed are the ones that are sent.
_SENT_WHOLE_BYTES = 32 << 20


def hash_images(listing: ImageListing, folder: Path, uris: Iterable[str], *, threads: int, advance: Advance) -> None:
    """Lists the images that can be read inside a folder by SHA-256; others are left out: the profile misses them."""
    source = iter(uris)
    with ThreadPoolExecutor(threads) as pool:
        while batch := list(islice(source, _BATCH)):
            paths = {path for uri in batch if (path := _inside(folder, uri)) is not None}
            fresh = sorted(path for path in paths if path not in listing)
            digests = pool.map(lambda path: _sha256(folder / path), fresh)
            listing.add(zip(fresh, digests, strict=True))
            advance(len(batch))


def copy_images(
    listing: ImageListing, folder: Path, store: ObjectStore, *, prefix: str, threads: int, advance: Advance
) -> None:
    """Copies every listed image to `<prefix>/<path>`.

    Raises:
        DeliveryError: an image is not what was hashed any more.
    """

    def copy(image: tuple[str, str]) -> None:
        path, sha256 = image
        copy_file(store, f"{prefix}/{path}", folder / path, sha256=sha256)

    with ThreadPoolExecutor(threads) as pool:
        for _ in ahead(pool, copy, listing.marked(), limit=_BATCH):
            advance()


def copy_file(store: ObjectStore, key: str, path: Path, *, sha256: str) -> None:
    """Uploads a file that was hashed before, and makes sure that it arrived with those bytes.

    Raises:
        DeliveryError: it was changed meanwhile, or arrived as something else.
    """
    if path.stat().st_size <= _SENT_WHOLE_BYTES:
        data = path.read_bytes()
        _check(sha256_hex(data), sha256, path)
        store.put_bytes(key, data)  # which the server checks as they arrive
        return
    store.put_file(key, path)
    _check(_stored_sha256(store, key), sha256, path)


def _stored_sha256(store: ObjectStore, key: str) -> str:
    stored, position, digest = StoredBytes.of(store, key), 0, hashlib.sha256()
    while chunk := stored.read(position, CHUNK_BYTES):
        digest.update(chunk)
        position += len(chunk)
    return digest.hexdigest()


def _check(found: str, expected: str, path: Path) -> None:
    if found != expected:
        raise DeliveryError(
            f"{path}: expected the bytes of sha256 {expected} that were hashed, found {found} as it was copied: it was "
            "changed meanwhile, or the upload was torn; deliver it again when it is complete"
        )


def _sha256(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:  # not ours to read, damaged or gone: its row is rejected for it, and the others stand
        return None


def _inside(folder: Path, uri: str) -> str | None:
    path = relative_path(uri.strip()) if is_relative(uri.strip()) else None
    if path is None or "\0" in path:
        return None
    try:
        path.encode()  # half a character could name a file here, and no key of the object store
        file = (folder / path).resolve()
        # A link may lead out of the folder: what it points at was not delivered.
        return path if file.is_relative_to(folder) and file.is_file() else None
    except (OSError, ValueError):  # names that the file system cannot hold
        return None
