"""Pictures of items: read from their packs, checked, kept on this disk, made smaller on request."""

from __future__ import annotations

import io
import os
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from serving.problems import NotReadyError
from vitrine.errors import DecodersBusyError, ImageError, RequestError, StorageError
from vitrine.files.whole import replace_file
from vitrine.identity import sha256_hex
from vitrine.images.decoders.pool import Decoders
from vitrine.images.decoding import WorkLimit, decode_image
from vitrine.item_table.table import StoredItem, StoredPicture
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

WIDTHS = (64, 128, 192, 256, 384, 512, 768, 1024)
_MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
}
_UNKNOWN_WIDTH = 1024  # of pictures in formats that browsers do not show: they are converted
_TOUCH_AFTER_S = 60.0
_SWEEP_EVERY = 200
_DECODERS = Decoders(processes=1, waiting=1, niceness=5)


@dataclass(frozen=True)
class Picture:
    """Bytes to send, with what they are; `etag` changes when they do."""

    data: bytes
    media_type: str
    etag: str


class Pictures:
    """The pictures of one replica's items. All workers share the folder; files are written beside and renamed."""

    def __init__(self, object_store: ObjectStore, folder: Path, settings: Settings) -> None:
        self._object_store = object_store
        self._folder = folder
        self._max_pixels = settings.image_max_pixels
        # What was accepted is judged no second time by what it holds, and ends all the same.
        self._work = WorkLimit(settings.image_max_decode_s, None, _DECODERS)
        self._cache_max_bytes = settings.picture_cache_max_bytes
        self._written = 0

    def get(self, item: StoredItem, catalog_id: str, *, width: int | None) -> Picture:
        """Returns an item's picture, no wider than `width` when that is given.

        Raises:
            RequestError: the item has no stored picture, or it cannot be read now (503).
        """
        stored = item.picture
        if stored is None:
            raise RequestError(
                f"item {item.item_id[:200]!r} of catalog {catalog_id} has no stored picture",
                status=404,
                title="No picture",
            )
        media_type = _MEDIA_TYPES.get(stored.format)
        step = None if width is None else next((step for step in WIDTHS if step >= width), WIDTHS[-1])
        if media_type is None and step is None:
            step = _UNKNOWN_WIDTH
        if media_type is not None and (step is None or (item.width is not None and item.width <= step)):
            return Picture(self._original(stored, item.item_id, catalog_id), media_type, stored.sha256)
        name = f"{stored.sha256}.w{step}"
        small = self._cached(name)
        if small is None:
            small = self._shrunk(self._original(stored, item.item_id, catalog_id), step or _UNKNOWN_WIDTH)
            self._keep(name, small)
        return Picture(small, "image/jpeg", f"{stored.sha256}-w{step}")

    def _original(self, stored: StoredPicture, item_id: str, catalog_id: str) -> bytes:
        data = self._cached(stored.sha256)
        if data is not None and len(data) == stored.size_bytes:
            return data
        key = keys.image_pack(catalog_id, stored.pack_id)
        try:
            data = self._object_store.get_bytes(key, start=stored.offset, length=stored.size_bytes)
        except StorageError as error:
            # Where the object store is and what it said is nothing for a client.
            raise NotReadyError(
                "the picture cannot be read from the object store now; try again in a moment"
            ) from error
        if sha256_hex(data) != stored.sha256:
            raise NotReadyError(
                f"the stored picture of item {item_id[:200]!r} differs from its recorded SHA-256 and is not shown"
            )
        self._keep(stored.sha256, data)
        return data

    def _shrunk(self, data: bytes, width: int) -> bytes:
        try:
            picture = decode_image(data, max_pixels=self._max_pixels, shorter_side=width, work=self._work)
        except DecodersBusyError as error:
            raise NotReadyError(str(error)) from error
        except ImageError as error:
            raise RequestError(
                f"the stored picture cannot be made smaller: {error}", status=404, title="No picture"
            ) from error
        picture.thumbnail((width, width * 8), Image.Resampling.LANCZOS)
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=86, optimize=True, progressive=True)
        return stream.getvalue()

    def _cached(self, name: str) -> bytes | None:
        path = self._path(name)
        try:
            data = path.read_bytes()
            if time.time() - path.stat().st_mtime > _TOUCH_AFTER_S:
                os.utime(path)  # the time of last use, by which `_sweep` goes
        except OSError:
            return None
        return data

    def _keep(self, name: str, data: bytes) -> None:
        path = self._path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, data, durably=False)
        except OSError:
            return  # a full disk costs a request to the object store next time, not this answer
        self._written += 1
        if self._written % _SWEEP_EVERY == 0:
            self._sweep()

    def _sweep(self) -> None:
        """Removes the least recently used pictures above the limit."""
        found = []
        for path in self._folder.glob("*/*"):
            try:
                status = path.stat()
            except OSError:
                continue  # another worker swept it
            found.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._cache_max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name
