"""Downloads from a store that is slow for one catalog: the others' go on, and one that is withdrawn stops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from slow_store import SlowStore
from tiny_release import publish_tiny_release

from serving.downloads import Downloads
from serving.release_cache import ReleaseCache
from tests.waiting import wait_for
from vitrine.ledger import Ledger
from vitrine.storage import ObjectStore


@pytest.fixture
def slow_store(s3_server: dict[str, str]) -> Iterator[SlowStore]:
    """A store that can be slow."""
    store = SlowStore(s3_server["endpoint_url"], bytes_per_s=100_000)
    yield store
    store.close()


@pytest.fixture
def slowed(object_store: ObjectStore, s3_server: dict[str, str], slow_store: SlowStore) -> ObjectStore:
    """The test's bucket behind `slow_store`."""
    return ObjectStore(object_store.bucket, **(s3_server | {"endpoint_url": slow_store.url}))


def test_slow_downloads_of_many_catalogs_do_not_hold_up_another(
    tmp_path: Path, tier_ledger: Ledger, object_store: ObjectStore, slowed: ObjectStore, slow_store: SlowStore
) -> None:
    names = ["slow-1", "slow-2", "slow-3", "quick"]
    wanted = {
        name: (name, publish_tiny_release(object_store, tier_ledger, catalog_id=name, items=40_000 // 16).release_id)
        for name in names
    }
    downloads = Downloads(ReleaseCache(tmp_path), slowed)
    slow_store.slow_for = "slow-"
    for name in names[:3]:
        downloads.advance(wanted[name], None)

    wait_for(lambda: downloads.advance(wanted["quick"], None), what="the quick catalog's release")

    assert not any(downloads.advance(wanted[name], None) for name in names[:3])
    slow_store.hurry()
    for name in names[:3]:
        wait_for(lambda name=name: downloads.advance(wanted[name], None), what=f"the release of {name}")


def test_a_withdrawn_download_stops_and_leaves_nothing_that_is_taken_for_whole(
    tmp_path: Path, tier_ledger: Ledger, object_store: ObjectStore, slowed: ObjectStore, slow_store: SlowStore
) -> None:
    tiny = publish_tiny_release(object_store, tier_ledger, catalog_id="slow", items=40_000)  # 2.6 MB of vectors
    key = ("slow", tiny.release_id)
    cache = ReleaseCache(tmp_path)
    downloads = Downloads(cache, slowed)
    slow_store.slow_for = "index.faiss"
    downloads.advance(key, None)
    assert slow_store.asked.wait(600)

    ended = wait_for(lambda: downloads.stop_withdrawn(set()), what="the end of the download")

    assert ended
    assert slow_store.answered_bytes < 2_000_000
    assert not list(tmp_path.glob("*/releases/*.json"))
    slow_store.hurry()
    wait_for(lambda: downloads.advance(key, None), what="the release, asked for again")
    assert cache.check(*key).release.release_id == tiny.release_id


def test_pruning_spares_what_is_on_its_way_and_waits_for_nothing(
    tmp_path: Path, tier_ledger: Ledger, object_store: ObjectStore, slowed: ObjectStore, slow_store: SlowStore
) -> None:
    old = publish_tiny_release(object_store, tier_ledger, catalog_id="old")
    coming = publish_tiny_release(object_store, tier_ledger, catalog_id="slow", items=8_000)
    cache = ReleaseCache(tmp_path)
    cache.fetch("old", old.release_id, object_store)
    downloads = Downloads(cache, slowed)
    slow_store.slow_for = "index.faiss"
    downloads.advance(("slow", coming.release_id), None)
    assert slow_store.asked.wait(600)

    removed = cache.prune(set())
    cache.delete_removed()

    assert {path.relative_to(tmp_path).parts[0] for path in removed} == {"old"}
    assert not list(tmp_path.glob(".removed/*"))
    slow_store.hurry()
    wait_for(lambda: downloads.advance(("slow", coming.release_id), None), what="the release that was coming")
    assert cache.check("slow", coming.release_id).release.release_id == coming.release_id
