"""The agent of a replica: reads the ledger, brings releases to this disk, and plans what the workers hold and serve.

It decides by what it finds, not by what it did before: each round compares the ledger, the plan and the workers'
reports, and takes the next step. Killed at any moment, it goes on from `plan.json`. Whatever takes long (downloads,
hashing, deleting) is done by threads: no catalog's step waits for another's files.
"""

from __future__ import annotations

import datetime
import logging
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor

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
from serving.resuming import Resuming
from serving.slot_reports import SlotReporter, SlotStatus, held_slots
from serving.supervisor import Supervisor
from serving.wanted_releases import Wanted, WantedReleases
from vitrine.errors import ContractError
from vitrine.ledger import Ledger, LivePointer
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

log = logging.getLogger("vitrine.serving")

_RESUME_POLL_S = 0.02


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
        self._is_pruning_due = True
        self._deleter = ThreadPoolExecutor(1, thread_name_prefix="delete")
        self._deleting: Future[None] | None = None
        self._resuming = Resuming(self._cache, [])
        self._plan = Plan(default_catalog=settings.default_catalog)

    def resume(self) -> None:
        """Takes up the plan of this replica's earlier life; what proves not to be whole on this disk leaves it later.

        What a living worker holds ready was whole when it was loaded, and is not read again.
        """
        try:
            plan = self._folder.read_plan()
        except ContractError as error:
            log.error("%s", error)
            plan = None
        catalogs = dict(plan.catalogs) if plan else {}
        self._plan = Plan(default_catalog=self._settings.default_catalog, catalogs=catalogs)
        self._folder.write_plan(self._plan)
        held = {(name, slot.release_id) for name, catalog in catalogs.items() for slot in catalog.slots.values()}
        proven = {
            (catalog_id, slot.release_id)
            for report in self._current_reports()
            for catalog_id, slots in report.slots.items()
            for slot in slots.values()
            if slot.state == "ready"
        }
        self._resuming = Resuming(self._cache, held - proven)
        for catalog_id, catalog in catalogs.items():
            if catalog.live:
                log.info("catalog %s: resuming release %s from this disk", catalog_id, catalog.live)

    def finish_resuming(self, ended: threading.Event) -> None:
        """Waits until all that lies on this disk since an earlier life was looked through, or the replica ends."""
        while not self._resuming.is_done and not ended.wait(_RESUME_POLL_S):
            self._drop_broken()
        self._folder.write_plan(self._plan)

    def stop(self) -> None:
        """Lets go of all that is under way; the next life of this replica goes on with it."""
        self._resuming.stop()
        self._downloads.stop()
        self._deleter.shutdown(wait=False, cancel_futures=True)

    def round(self) -> None:
        """Compares what should be with what is, and takes the next steps."""
        self._wanted.refresh()
        before = self._plan
        self._drop_broken()
        ready = self._ready_by_workers()
        self._collect_load_failures()
        for catalog_id, wanted in self._wanted.by_catalog.items():
            if not self._resuming.is_checking(catalog_id):
                self._advance(catalog_id, wanted, ready)
        self._apply_titles()
        if self._plan != before:
            self._folder.write_plan(self._plan)
            self._is_pruning_due = True
        if _releases(self._plan) != _releases(before):
            self._supervisor.try_again()
        if self._wanted.ledger_reachable and self._downloads.stop_withdrawn(self._wanted.keys()):
            self._is_pruning_due = True
        self._tidy()
        self._report()

    def _drop_broken(self) -> None:
        for catalog_id, release_id in self._resuming.broken():
            catalog = self._plan.catalogs[catalog_id]
            slots = {slot: held for slot, held in catalog.slots.items() if held.release_id != release_id}
            live = None if catalog.live == release_id else catalog.live
            self._put(catalog_id, catalog.model_copy(update={"slots": slots, "live": live}))

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
        """Has fetched what is wrong with a live release on this disk, and then asks the workers to try again."""
        if not self._downloads.advance(key, None):
            return
        self._downloads.fail(key, detail, None)  # should it fail again, not at once
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
        workers = self._supervisor.workers()
        try:
            reports = self._folder.read_workers()
        except ContractError as error:  # of a worker of newer code, which is being replaced
            log.warning("%s", error)
            return []
        return [report for report in reports if workers.get(report.index) == report.identity]

    def _is_complete(self, reports: list[WorkerReport]) -> bool:
        """Tells whether all workers report, but for those that were given up: the tier goes on without them."""
        given_up = self._supervisor.given_up()
        awaited = {index for index in range(self._settings.search_workers) if index not in given_up}
        return bool(reports) and {report.index for report in reports} >= awaited

    def _ready_by_workers(self) -> dict[tuple[str, str], bool]:
        """Says of each planned release whether every worker holds it ready."""
        reports = self._current_reports()
        complete = self._is_complete(reports)
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
        reports = self._current_reports()
        serving = [report.serving for report in reports]
        complete = self._is_complete(reports)
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
                if catalog is not None and (slot := catalog.slot_of(release_id)) is not None:
                    is_mended = self._downloads.is_fetching((catalog_id, release_id))
                    if is_mended and statuses[slot].state == "loading":
                        statuses[slot] = SlotStatus(release_id, "loading", "downloading")
                        problems[catalog_id] = "it is downloaded again, since a worker cannot load it"
                elif self._downloads.is_fetching((catalog_id, release_id)):
                    statuses[idle] = SlotStatus(release_id, "loading", "downloading")
                elif failure is not None:
                    # A failure of an earlier request says nothing about this one.
                    if release_id != wanted.staged or failure.requested_at == wanted.requested_at:
                        statuses[idle] = SlotStatus(release_id, "failed", failure.detail)
                    problems[catalog_id] = failure.detail
            if self._wanted.ledger_reachable:
                self._reporter.report(catalog_id, statuses, requested_at=wanted.requested_at, staged=wanted.staged)
        pointers = self._wanted.live()
        if not self._wanted.by_catalog:  # the ledger was never seen in this life: the plan remembers
            pointers = {name: catalog.live for name, catalog in self._plan.catalogs.items() if catalog.live}
        replaced, last_replaced = self._supervisor.replaced()
        self._folder.write_agent(
            AgentReport(
                pid=os.getpid(),
                workers=self._settings.search_workers,
                ledger_reachable=self._wanted.ledger_reachable,
                live=pointers,
                problems=problems,
                replaced=replaced,
                last_replaced=last_replaced,
                given_up=self._supervisor.given_up(),
            )
        )

    def _tidy(self) -> None:
        """Takes out of the cache what nobody needs, at once, and has it deleted by and by."""
        if self._deleting is not None and self._deleting.done():
            if error := self._deleting.exception():
                log.error("the cache cannot be pruned: %s", error)
            self._deleting = None
        # What lies on this disk counts for nothing before the ledger was heard, and before it was looked through.
        if not self._is_pruning_due or self._deleting is not None or not self._resuming.is_done:
            return
        if not self._wanted.has_been_heard:
            return
        self._is_pruning_due = False
        self._prune()
        self._deleting = self._deleter.submit(self._cache.delete_removed)

    def _prune(self) -> None:
        """Keeps what is live, what was before it, what is held and what comes; removes the rest."""
        keep = self._wanted.keys()
        for catalog_id, catalog in self._plan.catalogs.items():
            held = {planned.release_id for planned in catalog.slots.values()}
            keep |= {(catalog_id, name) for name in {*held, catalog.live, catalog.previous} if name}
        for report in self._current_reports():
            keep |= {(name, held.release_id) for name, slots in report.slots.items() for held in slots.values()}
        try:
            for path in self._cache.prune(keep):
                log.info("removed %s from the cache", path)
        except OSError as error:
            log.error("the cache cannot be pruned: %s", error)


def _releases(plan: Plan) -> dict[str, tuple[str | None, set[str]]]:
    """What workers hold and serve by a plan, by catalog."""
    return {
        catalog_id: (catalog.live, {held.release_id for held in catalog.slots.values()})
        for catalog_id, catalog in plan.catalogs.items()
    }
