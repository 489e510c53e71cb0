"""Images under a prefix get the same marks however they are found, and a few are found without listing the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from spark_jobs.deliveries import prefix_images
from spark_jobs.deliveries.image_fetching import ImageFetcher
from spark_jobs.deliveries.image_listing import image_listing
from spark_jobs.deliveries.prefix_images import mark_elsewhere, mark_images
from tests.spark_jobs.denied_images import heads_denied
from vitrine.errors import StorageError
from vitrine.storage import ObjectStore

_URIS = ["img/00/a b.png", "img/ff/caf\u00e9+1.png", "img/ff/missing.png", f"{'x' * 300}.png"]


def test_a_few_images_are_asked_for_and_many_are_listed_to_the_same_digest(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, uri in enumerate([*_URIS[:2], "img/77/other.png"]):
        object_store.put_bytes(f"shop/{uri}", b"picture" * (number + 1))

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "list_etags", _refuse)
        asked = _marked(object_store)
    monkeypatch.setattr(prefix_images, "_ASKED_FOR", 1)
    listed = _marked(object_store)

    assert [path for path, _ in asked[0]] == _URIS[:2]
    assert asked == listed


def test_an_image_elsewhere_that_is_denied_is_marked_so_and_never_taken_as_it_lies(object_store: ObjectStore) -> None:
    fetcher = ImageFetcher(object_store)
    read, denied, missing = (f"s3://{object_store.bucket}/{name}.png" for name in ("a", "b", "c"))
    for uri in (read, denied):
        object_store.put_bytes(uri.rpartition("/")[2], b"picture")

    with image_listing() as elsewhere, image_listing() as sound:
        for listing, uris in ((elsewhere, (read, denied, missing)), (sound, (read, missing))):
            listing.add((uri, None) for uri in uris)
            with heads_denied("b.png"):
                mark_elsewhere(listing, fetcher, threads=2, advance=lambda count=1: None)
        entries, sound_digest = dict(elsewhere.entries()), sound.digest()
    fetched = {uri: fetcher.fetch(uri, max_bytes=100, mark=mark or "") for uri, mark in entries.items()}

    etag = object_store.size_and_etag("a.png")[1]
    assert entries == {read: f"7 {etag}", denied: "?", missing: None}
    assert fetched[read].data == b"picture"
    assert (fetched[denied].data, fetched[missing].data) == (None, None)
    assert "could not be read when the delivery was recorded" in str(fetched[denied].fault)
    # The id of a delivery without such an image is as it was.
    assert sound_digest == hashlib.sha256(f"{read}\0{entries[read]}\n".encode()).hexdigest()


def _refuse(store: ObjectStore, prefix: str) -> Iterator[tuple[str, int, str]]:
    raise StorageError(f"{prefix} in {store.bucket} was listed")


def _marked(store: ObjectStore) -> tuple[list[tuple[str, str]], str]:
    with image_listing() as listing:
        base = f"s3://{store.bucket}/shop/"
        mark_images(listing, store, images_base=base, uris=_URIS, threads=4, advance=lambda count=1: None)
        return list(listing.marked()), listing.digest()
