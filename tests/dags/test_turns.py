"""Whose turn it is among the builds of a promotion, and how a build waits for it without a worker."""

from __future__ import annotations

import asyncio
import datetime
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from vitrine.catalogs import Catalog, declare_catalog
from vitrine.ledger import Ledger
from vitrine.settings import Settings

if TYPE_CHECKING:
    from airflow.triggers.base import TriggerEvent

FINGERPRINT = "enc-new"


@dataclass
class Airflow:
    """Answers for Airflow's API, which a trigger asks through its supervisor: which runs are in which state."""

    runs: dict[str, list[str]] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    moves: dict[str, Callable[[], None]] = field(default_factory=dict)  # what happens just before a DAG is answered for

    def count_runs(self, *, dag_id: str, states: list[str]) -> int:
        self.asked[dag_id] += 1
        self.moves.pop(dag_id, lambda: None)()
        return sum(state in states for state in self.runs.get(dag_id, []))

    async def looked_at(self, dag_id: str) -> None:
        """Returns when a trigger has asked for a DAG's runs three more times."""
        wanted = self.asked[dag_id] + 3
        while self.asked[dag_id] < wanted:
            await asyncio.sleep(0.01)

    def count_tasks(self, *, dag_id: str, **_: object) -> int:
        return int(dag_id in self.begun)


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    answers = Airflow()
    monkeypatch.setattr(RuntimeTaskInstance, "get_dr_count", staticmethod(answers.count_runs))
    monkeypatch.setattr(RuntimeTaskInstance, "get_ti_count", staticmethod(answers.count_tasks))
    return answers


@dataclass
class Promoted:
    """Three catalogs of which a promotion builds all; in turn they are `default`, `first` and `second`."""

    settings: Settings
    ledger: Ledger
    default: str
    first: str
    second: str
    sequence: int

    def before(self, catalog_id: str) -> list[str] | None:
        from vitrine_airflow.turns import catalogs_before, promoted_run_id

        run_id = promoted_run_id(self.sequence, FINGERPRINT)
        return catalogs_before(self.settings, catalog_id=catalog_id, run_id=run_id)

    def close(self, catalog_id: str) -> None:
        self.ledger.promotions.close(catalog_id=catalog_id, fingerprint=FINGERPRINT, outcome="released")


@pytest.fixture
def promoted(settings: Settings, ledger: Ledger, catalog_id: str) -> Iterator[Promoted]:
    default, first, second = f"{catalog_id}-c", f"{catalog_id}-a", f"{catalog_id}-b"
    for name in (first, second, default):
        declare_catalog(settings.catalogs_file, Catalog(catalog_id=name))
    settings = settings.model_copy(update={"default_catalog": default, "promotion_catalogs_at_once": 1})
    promotion = ledger.promotions.observe(model_version=f"of-{catalog_id}", observed_by="poll")
    ledger.promotions.accept(promotion.sequence, fingerprint=FINGERPRINT, catalog_ids=[default, first, second])
    yield Promoted(settings, ledger, default, first, second, promotion.sequence)


def test_one_at_a_time_a_catalog_that_has_begun_is_released_before_the_next_begins(
    promoted: Promoted, airflow: Airflow
) -> None:
    default, first, second = promoted.default, promoted.first, promoted.second
    airflow.runs = {f"{name}.build_index": ["running"] for name in (default, first, second)}
    airflow.begun = {f"{default}.build_index"}

    building = [promoted.before(name) for name in (default, first, second)]
    airflow.runs[f"{default}.build_index"] = ["success"]
    airflow.runs[f"{default}.release_index"] = ["running"]
    releasing = [promoted.before(name) for name in (first, second)]
    promoted.close(default)
    released = [promoted.before(name) for name in (first, second)]

    assert building == [[], [default], [default, first]]
    assert releasing == [[default], [default, first]]
    assert released == [[], [first]]


def test_as_many_catalogs_go_side_by_side_as_the_setting_says(promoted: Promoted, airflow: Airflow) -> None:
    default, first, second = promoted.default, promoted.first, promoted.second
    promoted.settings = promoted.settings.model_copy(update={"promotion_catalogs_at_once": 2})
    airflow.runs = {f"{name}.build_index": ["running"] for name in (default, first, second)}

    two_before = [promoted.before(name) for name in (default, first, second)]
    airflow.runs[f"{first}.build_index"] = ["failed"]
    one_before = promoted.before(second)

    assert two_before == [[], [], [default, first]]
    assert one_before == []


@pytest.mark.parametrize("question", ["build_index", "release_index"])
def test_a_catalog_keeps_its_turn_while_its_build_ends_and_its_release_begins(
    question: str, promoted: Promoted, airflow: Airflow
) -> None:
    build, release = (f"{promoted.default}.{name}" for name in ("build_index", "release_index"))
    airflow.runs = {build: ["running"], release: ["queued"]}
    airflow.begun = {build}
    airflow.moves = {
        f"{promoted.default}.{question}": lambda: airflow.runs.update({build: ["success"], release: ["running"]})
    }

    assert promoted.before(promoted.first) == [promoted.default]


def test_a_catalog_that_failed_or_was_never_begun_holds_nobody_up(promoted: Promoted, airflow: Airflow) -> None:
    default, first, second = promoted.default, promoted.first, promoted.second
    airflow.runs = {f"{default}.build_index": ["failed"], f"{first}.build_index": ["queued"]}  # of a paused DAG

    assert promoted.before(second) == []


def test_a_catalog_that_waits_for_its_own_ingest_holds_nobody_up_until_it_has_begun(
    promoted: Promoted, airflow: Airflow
) -> None:
    default, first = promoted.default, promoted.first
    airflow.runs = {f"{default}.build_index": ["running"], f"{default}.ingest_catalog": ["running"]}

    waiting = promoted.before(first)
    airflow.begun = {f"{default}.build_index"}
    begun = promoted.before(first)

    assert (waiting, begun) == ([], [default])


def test_a_catalog_whose_new_items_wait_behind_its_promotion_does_not_wait_for_its_turn(
    promoted: Promoted, airflow: Airflow
) -> None:
    default, second = promoted.default, promoted.second
    airflow.runs = {f"{default}.build_index": ["running"], f"{second}.build_index": ["running", "queued"]}

    assert promoted.before(second) == []


def test_only_builds_of_the_promotion_that_counts_take_turns(promoted: Promoted, airflow: Airflow) -> None:
    from vitrine_airflow.turns import catalogs_before

    airflow.runs = {f"{promoted.default}.build_index": ["running"]}
    by_ingest = catalogs_before(promoted.settings, catalog_id=promoted.first, run_id="head-7-enc-new")
    waits = promoted.before(promoted.first)
    promoted.ledger.promotions.observe(model_version=f"after-{promoted.first}", observed_by="poll")

    assert (by_ingest, waits) == ([], [promoted.default])
    assert promoted.before(promoted.first) is None


@pytest.fixture
def waiting(promoted: Promoted, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TriggerEvent]:
    """The events of the trigger of the build whose turn is second, with polls that come at once."""
    from vitrine_airflow import ingest_quiet
    from vitrine_airflow.turns import promoted_run_id

    for name, value in promoted.settings.to_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ingest_quiet, "POLL_S", 0.01)
    return ingest_quiet.BuildMayBeginTrigger(
        catalog_id=promoted.first,
        run_id=promoted_run_id(promoted.sequence, FINGERPRINT),
        started=datetime.datetime.now(datetime.UTC).isoformat(),
    ).run()


def test_a_waiting_build_begins_and_ends_its_wait_in_the_triggerer(
    promoted: Promoted, airflow: Airflow, waiting: AsyncIterator[TriggerEvent]
) -> None:
    from airflow.triggers.base import TaskSuccessEvent
    from vitrine_airflow import WaitForIngest

    ingest, build = f"{promoted.first}.ingest_catalog", f"{promoted.default}.build_index"
    airflow.runs = {ingest: ["running"], build: ["running"]}

    async def waits() -> tuple[bool, bool, TriggerEvent]:
        event = asyncio.ensure_future(anext(waiting))
        await airflow.looked_at(ingest)
        ended_early = event.done()
        airflow.runs[ingest] = ["success"]
        await airflow.looked_at(build)
        began_early = event.done()
        airflow.runs[build] = ["failed"]
        return ended_early, began_early, await event

    ended_early, began_early, event = asyncio.run(asyncio.wait_for(waits(), timeout=600.0))

    assert (ended_early, began_early) == (False, False)
    assert isinstance(event, TaskSuccessEvent)
    assert WaitForIngest(task_id="wait_for_ingest", catalog_id="demo").start_from_trigger


def test_a_build_is_skipped_without_a_worker_when_the_alias_moves_on_while_it_waits(
    promoted: Promoted, airflow: Airflow, waiting: AsyncIterator[TriggerEvent]
) -> None:
    from airflow.triggers.base import TaskSkippedEvent

    build = f"{promoted.default}.build_index"
    airflow.runs = {build: ["running"]}

    async def waits() -> TriggerEvent:
        event = asyncio.ensure_future(anext(waiting))
        await airflow.looked_at(build)
        promoted.ledger.promotions.observe(model_version=f"after-{promoted.first}", observed_by="poll")
        return await event

    assert isinstance(asyncio.run(asyncio.wait_for(waits(), timeout=600.0)), TaskSkippedEvent)
