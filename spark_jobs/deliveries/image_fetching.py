"""Image bytes from the object store: an image is to blame for a fault; what the store is to blame for raises."""

from __future__ import annotations

import functools
import threading
import time
from dataclasses import dataclass

import botocore.exceptions

from vitrine.connections import open_object_store
from vitrine.errors import ObjectChangedError, ObjectMissingError, StorageError
from vitrine.settings import Settings
from vitrine.storage import ObjectStore
from vitrine.storage.object_store import parse_s3_uri

ACCESS_DENIED = "access denied"
UNREADABLE = "?"
"""The mark of an image that could not be read when its delivery was recorded."""
_CHANGED = "is not the object that was recorded ({}) any more"
_ATTEMPTS = 3  # on top of boto's own, which end once the answer's headers are there
_DENIED = {"AccessDenied", "403", "Forbidden", "AllAccessDisabled"}
# Answers that are about this one object, and would be the same tomorrow.
_OBJECT_FAULTS = {"InvalidBucketName", "InvalidObjectState", "InvalidObjectName", "KeyTooLongError", "InvalidURI"}


@dataclass(frozen=True)
class FetchedImage:
    """An image's bytes; None when there are too many of them, or when `fault` says why there are none.

    `changed` says that something lies there, and not what was recorded.
    """

    size_bytes: int | None = None
    data: bytes | None = None
    fault: str | None = None
    changed: bool = False


class ImageFetcher:
    """Fetches images from any bucket of the object store; thread-safe."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._buckets: dict[str, ObjectStore] = {store.bucket: store}

    def fetch(self, uri: str, *, max_bytes: int, mark: str | None = None) -> FetchedImage:
        """Fetches an absolute URI; more than `max_bytes` are not read.

        Args:
            mark: `<size> <ETag>` of the object that was recorded, and no other is fetched; the empty text says that
                there was none, `UNREADABLE` that nobody could tell. None takes whatever lies there.

        Raises:
            StorageError: the object store failed; nothing is known about the image.
        """
        if mark == "":
            return FetchedImage(fault="there was no such object when the delivery was recorded")
        if mark == UNREADABLE:
            # What lies there now may not be what was delivered, and no later delivery would see it change.
            return FetchedImage(fault="could not be read when the delivery was recorded: let the platform read it")
        bucket, key = parse_s3_uri(uri)
        store = self._bucket(bucket)
        recorded_size, _, etag = (mark or "").partition(" ")
        for attempt in range(_ATTEMPTS):
            try:
                size_bytes, data = store.get_bytes_within(key, max_bytes=max_bytes, etag=etag or None)
                if recorded_size in ("", str(size_bytes)):
                    return FetchedImage(size_bytes=size_bytes, data=data)
                return FetchedImage(fault=_CHANGED.format(mark), changed=True)
            except ObjectChangedError:
                return FetchedImage(fault=_CHANGED.format(mark), changed=True)
            except StorageError as error:
                fault = self._fault(error, bucket=bucket)
                if fault is not None:
                    return FetchedImage(fault=fault)
                if attempt + 1 == _ATTEMPTS:
                    raise
                time.sleep(0.5 * 2**attempt)
        raise StorageError(f"{uri}: not fetched in {_ATTEMPTS} attempts")

    def mark(self, uri: str) -> str:
        """Returns what marks the object at an absolute URI, as `fetch` takes it.

        The mark of what is not there is the empty text; of what cannot be read, since access is denied, `UNREADABLE`.

        Raises:
            StorageError: the object store failed.
        """
        bucket, key = parse_s3_uri(uri)
        try:
            size_bytes, etag = self._bucket(bucket).size_and_etag(key)
        except StorageError as error:
            fault = self._fault(error, bucket=bucket)
            if fault is None:
                raise
            return "" if isinstance(error, ObjectMissingError) else UNREADABLE
        return f"{size_bytes} {etag}"

    def _bucket(self, bucket: str) -> ObjectStore:
        with self._lock:
            if bucket not in self._buckets:
                self._buckets[bucket] = self._store.with_bucket(bucket)
            return self._buckets[bucket]

    def _fault(self, error: StorageError, *, bucket: str) -> str | None:
        cause = error.__cause__
        code = _code(cause) if isinstance(cause, botocore.exceptions.ClientError) else None
        if isinstance(error, ObjectMissingError):
            # Without the platform's own bucket there is no platform: that is no fault of an image.
            if code == "NoSuchBucket":
                return "there is no such bucket" if bucket != self._store.bucket else None
            return "there is no such object"
        if code in _DENIED:
            return f"{ACCESS_DENIED}: let the platform read it, or deliver another URI"
        if code in _OBJECT_FAULTS or isinstance(cause, botocore.exceptions.ParamValidationError):
            return f"the object store cannot read it: {code or cause}"
        return None


@functools.lru_cache(maxsize=4)
def executor_store(settings: Settings) -> ObjectStore:
    """Returns this process's object store: making an S3 client takes a third of a second, so tasks share one."""
    return open_object_store(settings)


@functools.lru_cache(maxsize=4)
def executor_fetcher(settings: Settings) -> ImageFetcher:
    """Returns this process's fetcher, over its object store."""
    return ImageFetcher(executor_store(settings))


def _code(error: botocore.exceptions.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
