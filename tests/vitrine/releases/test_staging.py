"""Staging: a release that cannot be loaded never goes live, and what is live stays live."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr

from tests.conftest import new_ledger
from tests.replicas.tiny_release import TinyRelease
from tests.waiting import wait_for
from vitrine.contracts.releases import Release
from vitrine.errors import ReleaseError
from vitrine.ledger import Ledger
from vitrine.releases.activation import live_generation
from vitrine.releases.control import release_or_restore
from vitrine.releases.staging import stage_release
from vitrine.storage import keys

Publish = Callable[..., TinyRelease]


def _go_live(tier, catalog_id: str, tiny: TinyRelease) -> None:
    release_or_restore(
        tier.store,
        tier.ledger,
        catalog_id=catalog_id,
        release_id=tiny.release_id,
        expected_generation=live_generation(tier.settings, catalog_id=catalog_id),
        action="release",
        actor="test",
        stage_timeout_s=tier.settings.stage_timeout_s,
    )


def test_a_staged_release_waits_in_the_idle_slot_while_the_live_one_answers(tier, catalog_id, publish: Publish) -> None:
    first, second = publish("first"), publish("second")
    _go_live(tier, catalog_id, first)

    stage_release(tier.settings, catalog_id=catalog_id, release_id=second.release_id)

    held = {slot.slot: (slot.release_id, slot.state) for slot in tier.ledger.replicas.slots(catalog_id)}
    assert held == {"blue": (first.release_id, "serving"), "green": (second.release_id, "ready")}
    assert tier.served(catalog_id) == first.release_id


def test_a_corrupt_index_fails_staging_with_its_sha256_and_the_old_release_goes_on(
    tier, catalog_id, publish: Publish
) -> None:
    first, broken = publish("first"), publish("broken")
    _go_live(tier, catalog_id, first)
    key = f"{keys.index_prefix(catalog_id, broken.index_version)}/shard-0000/index.faiss"
    tier.store.put_bytes(key, tier.store.get_bytes(key)[:-1] + b"\x00")

    with pytest.raises(ReleaseError, match="sha256"):
        _go_live(tier, catalog_id, broken)

    assert tier.served(catalog_id) == tier.live(catalog_id) == first.release_id
    assert catalog_id not in tier.ledger.releases.stagings()
    failed = [slot for slot in tier.ledger.replicas.slots(catalog_id) if slot.state == "failed"]
    assert failed == [] or "sha256" in failed[0].detail


def test_staging_succeeds_again_once_the_object_is_whole(tier, catalog_id, publish: Publish) -> None:
    tiny = publish("mended")
    key = f"{keys.index_prefix(catalog_id, tiny.index_version)}/shard-0000/index.faiss"
    whole = tier.store.get_bytes(key)
    tier.store.put_bytes(key, whole[:-1] + b"\x00")
    with pytest.raises(ReleaseError):
        stage_release(tier.settings, catalog_id=catalog_id, release_id=tiny.release_id)

    tier.store.put_bytes(key, whole)
    _go_live(tier, catalog_id, tiny)

    assert tier.served(catalog_id) == tiny.release_id


def test_an_index_of_another_encoder_is_refused(tier, catalog_id, publish: Publish) -> None:
    tiny = publish("mixed")
    key = keys.release(catalog_id, tiny.release_id)
    release = Release.from_bytes(tier.store.get_bytes(key))
    tier.store.put_bytes(key, release.model_copy(update={"fingerprint": "another-encoder"}).to_bytes())

    with pytest.raises(ReleaseError, match=r"fingerprint.*expected another-encoder"):
        stage_release(tier.settings, catalog_id=catalog_id, release_id=tiny.release_id)


def test_an_index_that_cannot_be_loaded_is_refused_by_the_workers(tier, catalog_id, publish: Publish) -> None:
    first, short = publish("first"), publish("short")
    _go_live(tier, catalog_id, first)
    manifest_key = f"{keys.item_table_prefix(catalog_id, _item_table(tier, short))}/manifest.json"
    manifest = tier.store.get_bytes(manifest_key)
    tier.store.put_bytes(manifest_key, manifest.replace(b'"category":"category"', b'"nothing":"category"'))

    with pytest.raises(ReleaseError, match="worker"):
        stage_release(tier.settings, catalog_id=catalog_id, release_id=short.release_id)

    assert tier.served(catalog_id) == first.release_id


def test_without_a_living_replica_staging_says_how_to_start_one(tier, catalog_id, postgres_uri) -> None:
    lonely = tier.settings.model_copy(update={"database_url": SecretStr(new_ledger(postgres_uri))})

    with pytest.raises(ReleaseError, match="make up"):
        stage_release(lonely, catalog_id=catalog_id, release_id="release-1", timeout_s=0.5)


def test_staging_waits_for_a_tier_that_is_still_starting(tier, catalog_id, postgres_uri) -> None:
    database_url = new_ledger(postgres_uri)
    starting = tier.settings.model_copy(update={"database_url": SecretStr(database_url)})
    ledger = Ledger(database_url)

    def start() -> None:
        wait_for(lambda: catalog_id in ledger.releases.stagings(), what="the request to stage a release")
        ledger.replicas.heartbeat(replica_id="late", url="http://127.0.0.1:1")
        report = {"replica_id": "late", "catalog_id": catalog_id, "slot": "blue", "release_id": "release-1"}
        ledger.replicas.report_slot(**report, state="ready")

    with ThreadPoolExecutor() as pool:
        starts = pool.submit(start)
        staged = stage_release(starting, catalog_id=catalog_id, release_id="release-1", timeout_s=600)
        starts.result()

    ledger.close()
    assert staged == "release-1"


def test_a_release_that_does_not_exist_is_not_staged(tier, catalog_id) -> None:
    with pytest.raises(ReleaseError, match="does not exist"):
        stage_release(tier.settings, catalog_id=catalog_id, release_id="release-nowhere")


def _item_table(tier, tiny: TinyRelease) -> str:
    return Release.from_bytes(tier.store.get_bytes(keys.release(tiny.catalog_id, tiny.release_id))).item_table_id
