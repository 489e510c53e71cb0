"""The app of a worker in the test's own process, over releases in a real object store."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from flask.testing import FlaskClient

from serving.application import create_app
from serving.loaded_release import Encoders
from serving.release_cache import ReleaseCache
from serving.replica_folder import CatalogPlan, Plan, ReplicaFolder, SlotPlan
from serving.worker_slots import WorkerSlots
from tests.replicas.tiny_release import TinyRelease, picture, publish_tiny_release
from vitrine.encoder import fetch_encoder, load_encoder, publish_encoder
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

ROOT = Path(__file__).resolve().parents[2]
SHADES = [(230, 20, 20), (20, 40, 220), (30, 160, 60), (240, 220, 30), (10, 10, 10), (250, 250, 250)]


@dataclass(frozen=True)
class ShopWindow:
    """An app with its two releases."""

    client: FlaskClient
    encoded: TinyRelease
    plain: TinyRelease
    pictures: list[bytes]
    slots: WorkerSlots
    settings: Settings
    store: ObjectStore
    ledger: Ledger


def open_shop_window(settings: Settings, store: ObjectStore, ledger: Ledger, state: Path) -> ShopWindow:
    """Publishes both releases, loads them as a worker would and returns the app."""
    pictures = [picture(shade, size=(120 + 10 * place, 90)) for place, shade in enumerate(SHADES)]
    fingerprint = publish_encoder(ROOT / "training" / "bootstrap" / "encoder", store)
    encoder = load_encoder(fetch_encoder(fingerprint, store, state / "encoders"))
    encoded = publish_tiny_release(
        store,
        ledger,
        catalog_id="shop",
        vectors=encoder.encode_images(pictures).embeddings,
        fingerprint=fingerprint,
        pictures=pictures,
        titles=["red", "blue <script>alert(1)</script>", "green", "yellow", "black", "white"],
    )
    plain = publish_tiny_release(store, ledger, catalog_id="plain")
    folder = ReplicaFolder(settings.state_dir, "test")
    folder.make()
    cache = ReleaseCache(folder.cache)
    slots = WorkerSlots(cache, Encoders(settings, state / "compiled"))
    catalogs = {}
    for tiny in (encoded, plain):
        cache.fetch(tiny.catalog_id, tiny.release_id, store)
        catalogs[tiny.catalog_id] = CatalogPlan(
            title=tiny.catalog_id.title(),
            description="",
            slots={"blue": SlotPlan(release_id=tiny.release_id)},
            live=tiny.release_id,
            generation=1,
            activated_at="2026-11-20T00:00:00+00:00",
        )
    catalogs["coming"] = CatalogPlan(title="Coming", description="", slots={}, live="release-not-here", generation=1)
    plan = Plan(default_catalog="shop", catalogs=catalogs)
    slots.step(plan)
    while not slots.is_settled(plan):
        time.sleep(0.02)
        slots.step(plan)
    slots.step(plan)
    client = create_app(settings, slots=slots, folder=folder).test_client()
    return ShopWindow(client, encoded, plain, pictures, slots, settings, store, ledger)
