"""Images under a prefix get the same marks however they are found, and a few are found without listing the rest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spark_jobs import prefix_images
from spark_jobs.image_listing import image_listing
from spark_jobs.prefix_images import mark_images
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


def _refuse(store: ObjectStore, prefix: str) -> Iterator[tuple[str, int, str]]:
    raise StorageError(f"{prefix} in {store.bucket} was listed")


def _marked(store: ObjectStore) -> tuple[list[tuple[str, str]], str]:
    with image_listing() as listing:
        base = f"s3://{store.bucket}/shop/"
        mark_images(listing, store, images_base=base, uris=_URIS, threads=4, advance=lambda count=1: None)
        return list(listing.marked()), listing.digest()
