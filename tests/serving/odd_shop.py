"""An app over a catalog of vectors whose items have all kinds of ids, and pictures that tell one from the next."""

from __future__ import annotations

import time
from itertools import product

import numpy as np
from flask import Flask

from serving.application import create_app
from serving.loaded_release import Encoders
from serving.release_cache import ReleaseCache
from serving.replica_folder import CatalogPlan, Plan, ReplicaFolder, SlotPlan
from serving.worker_slots import WorkerSlots
from tests.replicas.tiny_release import picture, publish_tiny_release
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

PARTS = ["a", "image", "similar", "embedding", ".", "..", "", "%2F", "?", "#", "&v=1", "+", " ", "é", "\\", "%", "名前"]
ODD_IDS = sorted(
    {"/".join(parts) for parts in [*product(PARTS), *product(["a", "", "image", ".."], PARTS)]}
    | {f"x{suffix}" for suffix in ("/image", "/image/image", "//image", "/similar/image", "%2Fimage", "/image/")}
    | {"/x", "//x", "/", "//", "x/", "/image", "/similar/embedding", "items/x/image", "a?item_id=b", "a#b/image"}
)[1:]  # without the empty one, which is none


def odd_picture(row: int) -> bytes:
    """Returns the picture of the item in a row."""
    return picture((row % 256, row // 256, 7), size=(8, 8), kind="PNG")


def open_odd_shop(settings: Settings, store: ObjectStore, ledger: Ledger) -> Flask:
    """Publishes the catalog `odd`, loads it as a worker would and returns the app; it has no encoder to wait for."""
    count = len(ODD_IDS)
    tiny = publish_tiny_release(
        store,
        ledger,
        catalog_id="odd",
        vectors=np.eye(count, dtype=np.float32),
        pictures=[odd_picture(row) for row in range(count)],
        item_ids=list(ODD_IDS),
    )
    folder = ReplicaFolder(settings.state_dir, "odd")
    folder.make()
    cache = ReleaseCache(folder.cache)
    cache.fetch("odd", tiny.release_id, store)
    slots = WorkerSlots(cache, Encoders(settings, settings.state_dir / "compiled"))
    catalog = CatalogPlan(
        title="Odd",
        description="",
        slots={"blue": SlotPlan(release_id=tiny.release_id)},
        live=tiny.release_id,
        generation=1,
        activated_at="2026-11-20T00:00:00+00:00",
    )
    plan = Plan(default_catalog="odd", catalogs={"odd": catalog})
    slots.step(plan)
    while not slots.is_settled(plan):
        time.sleep(0.02)
        slots.step(plan)
    slots.step(plan)
    return create_app(settings, slots=slots, folder=folder)
