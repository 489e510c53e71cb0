"""Downloads from a store that is slow for one catalog: the others' go on, and one that is withdrawn stops."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.downloads import Downloads
from serving.release_cache import ReleaseCache
from tests.replicas.tiny_release import publish_tiny_release
from tests.serving.replica_process import ReplicaProcess
from tests.slow_store import SlowStore
from tests.waiting import is_gone, wait_for
from vitrine.ledger import Ledger
from vitrine.releases.control import promote
from vitrine.settings import Settings
from vitrine.storage import ObjectStore


@pytest.fixture
def slow_store(s3_server: dict[str, str]) -> Iterator[SlowStore]:
    """A store that can be slow."""
    store = SlowStore(s3_server["endpoint_url"], bytes_per_s=10_000)
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
    slow_store.slow_for, slow_store.bytes_per_s = "index.faiss", 100_000  # it stops at the next piece that it wrote
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


def test_one_catalog_goes_live_while_another_one_is_mended_from_a_slow_store(
    replica: ReplicaProcess,
    tier_settings: Settings,
    tier_ledger: Ledger,
    object_store: ObjectStore,
    catalog_id: str,
    slow_store: SlowStore,
) -> None:
    broken = publish_tiny_release(object_store, tier_ledger, catalog_id=catalog_id, items=40_000)
    other = publish_tiny_release(object_store, tier_ledger, catalog_id="other")
    replica.start(search_workers="1", s3_endpoint_url=slow_store.url)
    promote(tier_settings, catalog_id=catalog_id, release_id=broken.release_id, actor="test")
    (index,) = replica.folder.glob(f"cache/{catalog_id}/indexes/*/*/index.faiss")
    damaged = index.with_name("damaged")
    damaged.write_bytes(b"no index")
    damaged.replace(index)
    slow_store.slow_for, slow_store.bytes_per_s = f"{catalog_id}/indexes", 1_000
    victim = replica.workers()[0]
    os.kill(victim.pid, 9)
    wait_for(lambda: is_gone(victim.pid), what="the end of the worker")
    assert slow_store.asked.wait(600)

    promote(tier_settings, catalog_id="other", release_id=other.release_id, actor="test")
    mended = replica.get("/v1/release", catalog=catalog_id).status_code

    assert mended != 200  # or the release that comes slowly came before
    assert replica.get("/v1/release", catalog="other").json()["release_id"] == other.release_id
    slow_store.hurry()
    replica.wait_ready()
    assert replica.get("/v1/release", catalog=catalog_id).json()["release_id"] == broken.release_id
