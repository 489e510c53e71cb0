"""The slots of one worker process: it follows the plan, loads in the idle slot and flips one reference."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from serving.loaded_release import Encoders, LoadedRelease, load_release
from serving.release_cache import ReleaseCache
from serving.replica_folder import SLOTS, CatalogPlan, Plan, Slot, SlotPlan, SlotReport, SlotState
from vitrine.errors import VitrineError

log = logging.getLogger("vitrine.serving")

_LOADERS = 4  # searches go on meanwhile, on the same cores


@dataclass(frozen=True)
class ServingRelease:
    """What answers requests of a catalog; a request keeps the one it began with."""

    catalog_id: str
    title: str
    description: str
    slot: Slot
    generation: int
    activated_at: str
    loaded: LoadedRelease
    pinned: bool = False

    @property
    def release_id(self) -> str:
        """The release that answers name."""
        return self.loaded.release.release_id


@dataclass
class _Held:
    """A slot: the plan it follows, and what came of it."""

    plan: SlotPlan
    loading: Future[LoadedRelease] | None = None
    loaded: LoadedRelease | None = None
    failure: str = ""

    def report(self) -> SlotReport:
        state: SlotState = "ready" if self.loaded else "failed" if self.failure else "loading"
        return SlotReport(
            release_id=self.plan.release_id,
            attempt=self.plan.attempt,
            state=state,
            detail=self.failure,
        )


@dataclass(frozen=True)
class Live:
    """All that requests look at, replaced as a whole.

    Attributes:
        releases: what answers, by catalog.
        awaited: catalogs that have a live release which this worker does not serve yet.
    """

    default_catalog: str
    releases: Mapping[str, ServingRelease] = field(default_factory=dict)
    awaited: frozenset[str] = frozenset()


class WorkerSlots:
    """Two slots for each catalog. `step` is called by one thread; `live` may be read by any."""

    def __init__(self, cache: ReleaseCache, encoders: Encoders) -> None:
        self.live = Live(default_catalog="")
        self._cache = cache
        self._encoders = encoders
        self._held: dict[str, dict[Slot, _Held]] = {}
        # Threads of their own, so that one catalog's long load delays neither another's flip nor its load.
        self._loader = ThreadPoolExecutor(_LOADERS, thread_name_prefix="load")

    def step(self, plan: Plan) -> bool:
        """Does what can be done now towards the plan; tells whether the report changed."""
        before = self.reports(), self.serving()
        for held in [held for slots in self._held.values() for held in slots.values()]:
            _collect(held)
        self._flip(plan)
        for catalog_id, catalog in plan.catalogs.items():
            for slot in sorted(SLOTS, key=lambda slot: slot != catalog.live_slot):
                self._follow(catalog_id, slot, catalog.slots.get(slot))
        return (self.reports(), self.serving()) != before

    def is_settled(self, plan: Plan) -> bool:
        """Tells whether every live release of the plan is served, or cannot be loaded."""
        for catalog_id, catalog in plan.catalogs.items():
            slot = catalog.live_slot
            held = self._held.get(catalog_id, {}).get(slot) if slot else None
            if slot and (held is None or held.loading is not None):
                return False
        return True

    def reports(self) -> dict[str, dict[Slot, SlotReport]]:
        """What each slot holds, by catalog."""
        return {
            catalog_id: {slot: held.report() for slot, held in slots.items()}
            for catalog_id, slots in self._held.items()
        }

    def serving(self) -> dict[str, str]:
        """The release that answers, by catalog."""
        return {catalog_id: serving.release_id for catalog_id, serving in self.live.releases.items()}

    def pins(self) -> dict[str, bool]:
        """Whether the release that answers is pinned, by catalog."""
        return {catalog_id: serving.pinned for catalog_id, serving in self.live.releases.items()}

    def _follow(self, catalog_id: str, slot: Slot, wanted: SlotPlan | None) -> None:
        slots = self._held.setdefault(catalog_id, {})
        held = slots.get(slot)
        if held is not None and held.plan == wanted:
            return
        serving = self.live.releases.get(catalog_id)
        if held is not None and (held.loading is not None or (serving is not None and serving.loaded is held.loaded)):
            if wanted is not None and held.loaded is not None and held.plan.release_id == wanted.release_id:
                held.plan = wanted  # asked to try again what worked here
            return
        if wanted is None:
            slots.pop(slot, None)
            return
        if held is not None and held.loaded is not None and held.plan.release_id == wanted.release_id:
            held.plan = wanted
            return
        slots.pop(slot, None)  # the old release leaves the memory before the new one comes
        slots[slot] = _Held(wanted, loading=self._loader.submit(self._load, catalog_id, wanted.release_id))

    def _load(self, catalog_id: str, release_id: str) -> LoadedRelease:
        return load_release(self._cache.open(catalog_id, release_id), self._encoders)

    def _flip(self, plan: Plan) -> None:
        releases = dict(self.live.releases)
        for catalog_id, catalog in plan.catalogs.items():
            slot = catalog.live_slot
            held = self._held.get(catalog_id, {}).get(slot) if slot else None
            if slot is None or held is None or held.loaded is None or held.plan.release_id != catalog.live:
                continue
            serving = _serving(catalog_id, catalog, slot, held.loaded)
            if releases.get(catalog_id) != serving:
                releases[catalog_id] = serving
        awaited = frozenset(name for name, catalog in plan.catalogs.items() if catalog.live and name not in releases)
        live = Live(plan.default_catalog, releases, awaited)
        if live != self.live:
            self.live = live


def _serving(catalog_id: str, catalog: CatalogPlan, slot: Slot, loaded: LoadedRelease) -> ServingRelease:
    return ServingRelease(
        catalog_id=catalog_id,
        title=catalog.title,
        description=catalog.description,
        slot=slot,
        generation=catalog.generation,
        activated_at=catalog.activated_at,
        loaded=loaded,
        pinned=catalog.pinned,
    )


def _collect(held: _Held) -> None:
    """Takes over what the loader made of a slot."""
    if held.loading is None or not held.loading.done():
        return
    try:
        held.loaded = held.loading.result()
        log.info("release %s is ready, loaded in %.0f ms", held.plan.release_id, held.loaded.load_ms)
    except (VitrineError, OSError, MemoryError, RuntimeError, ValueError) as error:
        # faiss, OpenVINO and numpy raise their own on broken files: the slot fails with the reason, the worker lives.
        held.failure = f"{type(error).__name__}: {error}"
        log.error("release %s cannot be loaded: %s", held.plan.release_id, held.failure)
    held.loading = None
