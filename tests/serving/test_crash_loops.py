"""Workers that crash again and again are given up with their reason; the others, and the releases, go on."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import supervisor as supervising
from serving import worker_place
from serving.agent import Agent
from serving.readiness import read_readiness
from serving.replica_folder import AgentReport, ReplicaFolder, SlotReport, WorkerReport
from serving.supervisor import Supervisor
from tests.free_ports import free_port
from tests.replicas.tiny_release import publish_tiny_release
from tests.waiting import wait_for
from vitrine.ledger import Ledger
from vitrine.processes.crash_loops import Limits
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

CRASHES = """
import sys
from pathlib import Path
Path(sys.argv[1]).write_text("ReleaseError: no such index")
sys.exit(1)
"""
LIVES = "import time; time.sleep(300)"


class _Tier(Supervisor):
    """A supervisor whose worker 0 crashes at its start, for as long as it is to."""

    crashes = True
    started = 0

    def _start(self, index: int) -> subprocess.Popen[bytes]:
        code = CRASHES if index == 0 and self.crashes else LIVES
        self.started += index == 0
        end = self._folder.worker_pulse(index).with_suffix(".end")
        return subprocess.Popen([sys.executable, "-c", code, str(end)])


@pytest.fixture
def folder(tmp_path: Path) -> ReplicaFolder:
    """A replica's folder of its own."""
    made = ReplicaFolder(tmp_path, "one")
    made.path.mkdir(parents=True)
    made.make()
    return made


@pytest.fixture
def tier(folder: ReplicaFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Tier]:
    """A tier of two workers, of which the first has been given up."""
    monkeypatch.setattr(worker_place, "LIMITS", Limits(first_pause_s=0.01, short_lives=3))
    made = _Tier(_settings(folder), folder)
    made.take_over(threading.Event())
    _tend_until_given_up(made)
    yield made
    made.stop()


def _settings(folder: ReplicaFolder) -> Settings:
    environment = {"VITRINE_STATE_DIR": str(folder.path.parents[1]), "VITRINE_REPLICA_ID": folder.replica_id}
    return Settings.from_environment({**environment, "VITRINE_SEARCH_PORT": str(free_port())})


def _tend_until_given_up(tier: _Tier) -> None:
    wait_for(lambda: tier.tend() or tier.given_up(), what="a place that is given up")


def test_a_worker_that_crashes_at_its_start_is_given_up_with_its_reason_and_the_other_one_goes_on(
    folder: ReplicaFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_place, "LIMITS", Limits(first_pause_s=0.01, short_lives=3))
    tier = _Tier(_settings(folder), folder)
    tier.take_over(threading.Event())

    with caplog.at_level(logging.ERROR, logger="vitrine.serving"):
        _tend_until_given_up(tier)
    for _ in range(20):
        tier.tend()

    reason, living, started = tier.given_up()[0], tier.workers(), tier.started
    tier.stop()
    assert reason.startswith("it ended 3 times in a row within 60 s of its start, last it ended with status 1 after")
    assert reason.endswith("(ReleaseError: no such index)")
    assert caplog.messages[-1].endswith(f"is given up: {reason}; {supervising.NEXT_STEP}")
    assert (sorted(living), started) == ([1], 3)


def test_what_was_given_up_stays_so_for_the_next_agent(tier: _Tier, folder: ReplicaFolder) -> None:
    following = _Tier(_settings(folder), folder)

    following.take_over(threading.Event())
    for _ in range(5):
        following.tend()

    started, given_up = following.started, following.given_up()
    following.stop()
    assert (started, given_up) == (0, tier.given_up())


def test_a_place_that_was_given_up_is_tried_again_when_it_is_asked_for(tier: _Tier, folder: ReplicaFolder) -> None:
    tier.crashes = False

    again = folder.forget_given_up()
    tier.tend()

    assert again == [0]
    assert tier.given_up() == {}
    assert sorted(tier.workers()) == [0, 1]


def test_a_replica_that_ends_in_order_begins_anew(tier: _Tier, folder: ReplicaFolder) -> None:
    before = folder.given_up()

    tier.stop()

    assert sorted(before) == [0]
    assert folder.given_up() == {}


def test_readiness_says_which_worker_was_given_up_and_why(folder: ReplicaFolder) -> None:
    folder.write_agent(AgentReport(pid=1, workers=2, ledger_reachable=True, given_up={1: "it ended 10 times in a row"}))

    found = read_readiness(folder)

    assert found.reasons == ["0 of 2 workers accept requests; worker 1 was given up: it ended 10 times in a row"]


def test_a_release_is_ready_and_tries_the_place_again_though_a_worker_was_given_up(
    tier_settings: Settings,
    tier_ledger: Ledger,
    object_store: ObjectStore,
    catalog_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_place, "LIMITS", Limits(first_pause_s=0.01, short_lives=3))
    folder = ReplicaFolder(tier_settings.state_dir, tier_settings.replica_id)
    folder.make()
    tier = _Tier(tier_settings, folder)
    tier.take_over(threading.Event())
    _tend_until_given_up(tier)
    agent = Agent(tier_settings, folder=folder, supervisor=tier, ledger=tier_ledger, object_store=object_store)
    tiny = publish_tiny_release(object_store, tier_ledger, catalog_id=catalog_id)
    tier_ledger.releases.request_staging(catalog_id=catalog_id, release_id=tiny.release_id)

    wait_for(lambda: agent.round() or not folder.given_up(), what="a plan that holds the release")
    _tend_until_given_up(tier)  # worker 0 is tried again, and crashes again
    identity = tier.workers()[1]
    slots = {catalog_id: {"blue": SlotReport(release_id=tiny.release_id, attempt=1, state="ready")}}
    report = WorkerReport(index=1, pid=identity.pid, started=identity.started, accepting=True, slots=slots)
    folder.write_worker(report)
    agent.round()

    states = [slot.state for slot in tier_ledger.replicas.slots(catalog_id) if slot.release_id == tiny.release_id]
    told = folder.read_agent()
    agent.stop()
    tier.stop()
    assert states == ["ready"]
    assert told is not None
    assert sorted(told.given_up) == [0]
    assert tier.started == 6
