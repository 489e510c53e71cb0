"""Images that stay where they lie, under an `s3://` prefix or elsewhere: marked by size and ETag.

A replaced image makes another delivery; only the marked object is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from spark_jobs.deliveries.image_fetching import ImageFetcher
from spark_jobs.deliveries.image_listing import ImageListing
from vitrine.errors import ObjectMissingError
from vitrine.items.image_uris import ImagePlaces, resolve_image_uri
from vitrine.progress import Advance
from vitrine.storage import ObjectStore
from vitrine.storage.object_store import parse_s3_uri

_BATCH = 5000
# A day's few images may lie far apart under a prefix of millions: up to so many are asked for one by one.
_ASKED_FOR = 4000


def mark_images(
    listing: ImageListing,
    store: ObjectStore,
    *,
    images_base: str,
    uris: Iterable[str],
    threads: int,
    advance: Advance,
) -> None:
    """Lists the images below `images_base` that the URIs name; those that are not there have no mark.

    One listing request tells of a thousand objects, where asking for each image would be a request each; but a listing
    tells of all that lies between them too, so a few images are asked for. The marks are the same.
    """
    source = iter(uris)
    while batch := list(islice(source, _BATCH)):
        listing.add((path, None) for uri in batch if (path := _below(images_base, uri)) is not None)
        advance(len(batch))
    begin = listing.common_folder()
    if begin is None:
        return
    bucket, below = parse_s3_uri(images_base)
    store = store.with_bucket(bucket)
    few = list(islice(listing.paths(), _ASKED_FOR + 1))
    if len(few) <= _ASKED_FOR:
        listing.mark(_asked_marks(store, below, few, threads=threads))
        return
    objects = _marks(store, below, begin)
    while found := list(islice(objects, _BATCH)):
        listing.mark(found)


def noting_elsewhere(uris: Iterable[str], elsewhere: ImageListing, *, places: ImagePlaces) -> Iterator[str]:
    """Yields the URIs, and lists those on the way that point outside `places.base` to where they may."""
    source = iter(uris)
    while batch := list(islice(source, _BATCH)):
        absolute = (uri.strip() for uri in batch if uri.strip().startswith("s3://"))
        elsewhere.add((uri, None) for uri in absolute if not uri.startswith(places.base) and _may_be_read(uri, places))
        yield from batch


def mark_elsewhere(elsewhere: ImageListing, fetcher: ImageFetcher, *, threads: int, advance: Advance) -> None:
    """Marks the images that were noted, by a request each.

    Raises:
        StorageError: the object store failed.
    """
    after = ""
    with ThreadPoolExecutor(threads) as pool:
        while batch := elsewhere.paths_after(after, count=_BATCH):
            marks = zip(batch, pool.map(fetcher.mark, batch), strict=True)
            elsewhere.mark((uri, mark) for uri, mark in marks if mark)
            after = batch[-1]
            advance(len(batch))


def _may_be_read(uri: str, places: ImagePlaces) -> bool:
    try:
        return resolve_image_uri(uri, places=places).fault is None
    except UnicodeEncodeError:  # half a character: the row is rejected for it
        return False


def _marks(store: ObjectStore, below: str, begin: str) -> Iterator[tuple[str, str]]:
    for key, size_bytes, etag in store.list_etags(below + begin):
        yield key.removeprefix(below), f"{size_bytes} {etag}"


def _asked_marks(store: ObjectStore, below: str, paths: Sequence[str], *, threads: int) -> Iterator[tuple[str, str]]:
    def ask(path: str) -> str | None:
        try:
            size_bytes, etag = store.size_and_etag(below + path)
        except ObjectMissingError:
            return None
        return f"{size_bytes} {etag}"

    with ThreadPoolExecutor(threads) as pool:
        for path, mark in zip(paths, pool.map(ask, paths), strict=True):
            if mark is not None:
                yield path, mark


def _below(images_base: str, uri: str) -> str | None:
    try:
        resolved = resolve_image_uri(uri.strip(), places=ImagePlaces(images_base))
    except UnicodeEncodeError:  # half a character: the row is rejected for it
        return None
    if resolved.fault is not None or not resolved.uri.startswith(images_base):
        return None
    return resolved.uri.removeprefix(images_base)
