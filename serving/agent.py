"""The agent of a replica: reads the ledger, brings releases to this disk, and plans what the workers hold and serve.

It decides by what it finds, not by what it did before: each round compares the ledger, the plan and the workers'
reports, and takes the next step. Killed at any moment, it goes on from `plan.json`.
"""

from __future__ import annotations

import datetime
import logging
import os

from serving.catalog_titles import CatalogTitles
from serving.downloads import Downloads, ReleaseKey
from serving.release_cache import ReleaseCache
from serving.replica_folder import (
    SLOTS,
    AgentReport,
    CatalogPlan,
    Plan,
    ReplicaFolder,
    Slot,
    SlotPlan,
    WorkerReport,
    other,
)
from serving.slot_reports import SlotReporter, SlotStatus, held_slots
from serving.supervisor import Supervisor
from serving.wanted_releases import Wanted, WantedReleases
from vitrine.errors import ContractError, ReleaseError, VitrineError
from vitrine.ledger import Ledger, LivePointer
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

log = logging.getLogger("vitrine.serving")


class Agent:
    """One replica's control loop; `round` is called every `replica_poll_s`."""

    def __init__(
        self,
        settings: Settings,
        *,
        folder: ReplicaFolder,
        supervisor: Supervisor,
        ledger: Ledger,
        object_store: ObjectStore,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._supervisor = supervisor
        self._cache = ReleaseCache(folder.cache)
        self._titles = CatalogTitles(settings.catalogs_file)
        self._reporter = SlotReporter(ledger, settings.replica_id)
        self._downloads = Downloads(self._cache, object_store)
        self._wanted = WantedReleases(ledger)
        self._is_pruning_due = False
        self._plan = Plan(default_catalog=settings.default_catalog)

    def resume(self) -> None:
        """Takes up the plan of this replica's earlier life, as far as its releases are whole on this disk."""
        try:
            plan = self._folder.read_plan()
        except ContractError as error:
            log.error("%s", error)
            plan = None
        catalogs = {}
        for catalog_id, catalog in (plan.catalogs if plan else {}).items():
            slots = {slot: held for slot, held in catalog.slots.items() if self._is_whole(catalog_id, held.release_id)}
            live = catalog.live if catalog.live in {held.release_id for held in slots.values()} else None
            catalogs[catalog_id] = catalog.model_copy(update={"slots": slots, "live": live})
        self._plan = Plan(default_catalog=self._settings.default_catalog, catalogs=catalogs)
        self._folder.forget_reports()
        self._folder.write_plan(self._plan)
        for catalog_id, catalog in catalogs.items():
            if catalog.live:
                log.info("catalog %s: resuming release %s from this disk", catalog_id, catalog.live)

    def round(self) -> None:
        """Compares what should be with what is, and takes the next steps."""
        self._wanted.refresh()
        before = self._plan
        ready = self._ready_by_workers()
        self._collect_load_failures()
        for catalog_id, wanted in self._wanted.by_catalog.items():
            self._advance(catalog_id, wanted, ready)
        self._apply_titles()
        if self._plan != before:
            self._folder.write_plan(self._plan)
            self._is_pruning_due = True
        if self._downloads.forget_withdrawn(self._wanted.keys()):
            self._is_pruning_due = True
        # Half of a release that is coming belongs to no release yet.
        if self._is_pruning_due and self._downloads.is_idle():
            self._is_pruning_due = False
            self._prune()
        self._report()

    def _advance(self, catalog_id: str, wanted: Wanted, ready: dict[tuple[str, str], bool]) -> None:
        """Takes the next step of one catalog: flip, load, or nothing."""
        catalog = self._plan.catalogs.get(catalog_id) or CatalogPlan(title=catalog_id, description="", slots={})
        pointer = wanted.pointer
        if pointer is not None and catalog.slot_of(pointer.release_id) is not None:
            if catalog.live == pointer.release_id or ready.get((catalog_id, pointer.release_id)):
                self._make_live(catalog_id, catalog, pointer)
        elif pointer is not None:
            self._bring(catalog_id, catalog, pointer.release_id, None)
            return
        if wanted.staged is not None and (pointer is None or catalog.live == pointer.release_id):
            catalog = self._plan.catalogs.get(catalog_id, catalog)
            if catalog.slot_of(wanted.staged) is None:
                self._bring(catalog_id, catalog, wanted.staged, wanted.requested_at)

    def _make_live(self, catalog_id: str, catalog: CatalogPlan, pointer: LivePointer) -> None:
        update = {
            "live": pointer.release_id,
            "generation": pointer.generation,
            "activated_at": pointer.activated_at.astimezone(datetime.UTC).isoformat(),
            "previous": pointer.previous_release_id,
            "pinned": pointer.pinned,
        }
        if catalog.live != pointer.release_id:
            log.info(
                "catalog %s: release %s goes live (generation %s)", catalog_id, update["live"], update["generation"]
            )
        self._put(catalog_id, catalog.model_copy(update=update))

    def _bring(
        self, catalog_id: str, catalog: CatalogPlan, release_id: str, requested_at: datetime.datetime | None
    ) -> None:
        """Downloads a release, and once it is here asks the workers to load it into the idle slot."""
        if not self._downloads.advance((catalog_id, release_id), requested_at):
            return
        idle: Slot = other(catalog.live_slot) if catalog.live_slot else SLOTS[0]
        attempt = 1 + max((held.attempt for held in catalog.slots.values()), default=0)
        slots = {**catalog.slots, idle: SlotPlan(release_id=release_id, attempt=attempt)}
        self._put(catalog_id, catalog.model_copy(update={"slots": slots}))

    def _collect_load_failures(self) -> None:
        """A slot that some worker could not load is given up; a live one is checked on disk and tried again."""
        for report in self._current_reports():
            for catalog_id, slots in report.slots.items():
                catalog = self._plan.catalogs.get(catalog_id)
                for slot, held in slots.items():
                    planned = catalog.slots.get(slot) if catalog else None
                    if catalog is None or planned is None or held.state != "failed" or planned.attempt != held.attempt:
                        continue
                    key = (catalog_id, held.release_id)
                    if catalog.live == held.release_id:
                        self._retry_live(key, catalog, slot, held.detail)
                        continue
                    wanted = self._wanted.of(catalog_id)
                    requested = wanted.requested_at if wanted.staged == held.release_id else None
                    self._downloads.fail(key, f"worker {report.index}: {held.detail}", requested)
                    left = {name: plan for name, plan in catalog.slots.items() if name != slot}
                    self._put(catalog_id, catalog.model_copy(update={"slots": left}))

    def _retry_live(self, key: ReleaseKey, catalog: CatalogPlan, slot: Slot, detail: str) -> None:
        failure = self._downloads.failure(key)
        if failure is not None and failure.is_recent:
            return
        self._downloads.fail(key, detail, None)
        try:
            self._downloads.repair(key)
        except (VitrineError, OSError) as error:
            self._downloads.fail(key, f"{detail}; and fetching it again: {error}", None)
            return
        held = SlotPlan(release_id=key[1], attempt=catalog.slots[slot].attempt + 1)
        self._put(key[0], catalog.model_copy(update={"slots": {**catalog.slots, slot: held}}))

    def _put(self, catalog_id: str, catalog: CatalogPlan) -> None:
        self._plan = self._plan.model_copy(update={"catalogs": {**self._plan.catalogs, catalog_id: catalog}})

    def _apply_titles(self) -> None:
        for catalog_id, catalog in self._plan.catalogs.items():
            title, description = self._titles.of(catalog_id)
            if (catalog.title, catalog.description) != (title, description):
                self._put(catalog_id, catalog.model_copy(update={"title": title, "description": description}))

    def _current_reports(self) -> list[WorkerReport]:
        pids = self._supervisor.pids()
        return [report for report in self._folder.read_workers() if pids.get(report.index) == report.pid]

    def _ready_by_workers(self) -> dict[tuple[str, str], bool]:
        """Says of each planned release whether every worker holds it ready."""
        reports = self._current_reports()
        complete = len(reports) == self._settings.search_workers
        ready = {}
        for catalog_id, catalog in self._plan.catalogs.items():
            for slot, planned in catalog.slots.items():
                held = [report.slots.get(catalog_id, {}).get(slot) for report in reports]
                ready[catalog_id, planned.release_id] = complete and all(
                    one is not None and one.state == "ready" and one.release_id == planned.release_id for one in held
                )
        return ready

    def _report(self) -> None:
        """Tells the ledger what the slots hold, and the workers what the ledger says."""
        ready = self._ready_by_workers()
        serving = [report.serving for report in self._current_reports()]
        complete = len(serving) == self._settings.search_workers
        problems = {}
        for catalog_id, wanted in self._wanted.by_catalog.items():
            catalog = self._plan.catalogs.get(catalog_id)
            served = {one.get(catalog_id) for one in serving} if complete else set()
            held = catalog.slots.values() if catalog else ()
            statuses = held_slots(
                catalog,
                ready={planned.release_id for planned in held if ready[catalog_id, planned.release_id]},
                served=served.pop() if len(served) == 1 else None,
            )
            live_slot = catalog.live_slot if catalog else None
            idle: Slot = other(live_slot) if live_slot else SLOTS[0]
            for release_id in wanted.release_ids:
                failure = self._downloads.failure((catalog_id, release_id))
                if self._downloads.is_fetching((catalog_id, release_id)):
                    statuses[idle] = SlotStatus(release_id, "loading", "downloading")
                elif failure is not None and (catalog is None or catalog.slot_of(release_id) is None):
                    # A failure of an earlier request says nothing about this one.
                    if release_id != wanted.staged or failure.requested_at == wanted.requested_at:
                        statuses[idle] = SlotStatus(release_id, "failed", failure.detail)
                    problems[catalog_id] = failure.detail
            if self._wanted.ledger_reachable:
                self._reporter.report(catalog_id, statuses, requested_at=wanted.requested_at, staged=wanted.staged)
        pointers = self._wanted.live()
        if not self._wanted.by_catalog:  # the ledger was never seen in this life: the plan remembers
            pointers = {name: catalog.live for name, catalog in self._plan.catalogs.items() if catalog.live}
        self._folder.write_agent(
            AgentReport(
                pid=os.getpid(),
                workers=self._settings.search_workers,
                ledger_reachable=self._wanted.ledger_reachable,
                live=pointers,
                problems=problems,
            )
        )

    def _is_whole(self, catalog_id: str, release_id: str) -> bool:
        try:
            self._cache.check(catalog_id, release_id)
        except (ReleaseError, OSError) as error:
            log.error("%s", error)
            return False
        return True

    def _prune(self) -> None:
        """Keeps what is live, what was before it, what is held and what comes; removes the rest."""
        keep = set()
        for catalog_id, catalog in self._plan.catalogs.items():
            wanted = self._wanted.of(catalog_id)
            held = {planned.release_id for planned in catalog.slots.values()}
            keep |= {(catalog_id, name) for name in {*held, catalog.live, catalog.previous, wanted.staged} if name}
        for report in self._current_reports():
            keep |= {(name, held.release_id) for name, slots in report.slots.items() for held in slots.values()}
        try:
            for path in self._cache.prune(keep):
                log.info("removed %s from the cache", path)
        except OSError as error:
            log.error("the cache cannot be pruned: %s", error)
