"""Workers outlive their agent, the next agent takes them over, and whoever hangs is replaced, under load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.serving_load import Load, run_load
from serving.replica_folder import ReplicaFolder
from serving.worker import PLACE_TAKEN
from tests.replicas.search_replica import ROOT
from tests.serving.replica_process import ReplicaProcess
from tests.serving.shop_window import ShopWindow
from tests.waiting import is_gone, suspend, wait_for
from vitrine.processes.table import ProcessIdentity

MOST_SECONDS = 600.0
CONNECTIONS = 4


@contextmanager
def _load(shop: ShopWindow, replica: ReplicaProcess) -> Iterator[Future[Load]]:
    """Searches, 20 a second, from before the block until after it."""
    is_over = threading.Event()
    bodies = [{"item_id": f"item/{row}", "catalog": "plain", "top_k": 3} for row in range(20)]
    with ThreadPoolExecutor(1) as other:
        load = other.submit(
            run_load,
            replica.url,
            bodies,
            seconds=MOST_SECONDS,
            connections=CONNECTIONS,
            rate=20.0,
            is_over=is_over.is_set,
        )
        try:
            yield load
        finally:
            is_over.set()


def _takes_over(replica: ReplicaProcess, **changes: str) -> None:
    """Starts the next agent, and waits until it controls what it found."""
    said = len(replica.log.read_bytes())
    replica.start(wait=False, **changes)
    wait_for(lambda: b"the ledger is reachable" in replica.log.read_bytes()[said:], what="an agent that follows")
    replica.wait_ready()


def test_workers_outlive_a_killed_agent_and_the_next_one_takes_them_over_without_a_failed_request(
    shop: ShopWindow, shop_replica: ReplicaProcess
) -> None:
    shop_replica.wait_ready()
    before = shop_replica.workers()

    with _load(shop, shop_replica) as load:
        shop_replica.kill_agent()
        alone = shop_replica.get("/readyz").json()
        _takes_over(shop_replica)

    assert load.result().failures == []
    assert (alone["status"], alone["agent"]) == ("ready", "gone")
    assert shop_replica.workers() == before
    assert shop_replica.wait_ready()["agent"] == "running"


def test_a_stopped_agent_costs_no_request(shop: ShopWindow, shop_replica: ReplicaProcess) -> None:
    before = shop_replica.workers()

    with _load(shop, shop_replica) as load:
        os.kill(shop_replica.pid, signal.SIGSTOP)
        stopped = wait_for(
            lambda: (found := shop_replica.get("/readyz").json())["agent"] == "stopped" and found,
            what="a stopped agent",
        )
        answers = [shop_replica.search(item_id="item/1", catalog="plain").status_code for _ in range(10)]
        os.kill(shop_replica.pid, signal.SIGCONT)
        shop_replica.wait_ready()

    assert load.result().failures == []
    assert (stopped["status"], answers) == ("ready", [200] * 10)
    assert shop_replica.workers() == before


def test_a_worker_that_died_together_with_its_agent_is_started_by_the_next_one(
    shop: ShopWindow, shop_replica: ReplicaProcess
) -> None:
    before = shop_replica.workers()

    with _load(shop, shop_replica) as load:
        suspend(shop_replica.pid)  # or it starts another before it is killed itself
        os.kill(before[0].pid, signal.SIGKILL)
        shop_replica.kill_agent()
        wait_for(lambda: is_gone(before[0].pid), what="the end of the worker")
        alone = wait_for(
            lambda: (found := shop_replica.get("/readyz")).status_code == 503 and found.json(), what="a worker missed"
        )
        _takes_over(shop_replica)

    after = shop_replica.workers()
    assert len(load.result().failures) <= CONNECTIONS
    assert "worker 0" in alone["reasons"][0] and "is gone" in alone["reasons"][0]
    assert after[1] == before[1]
    assert after[0] != before[0]


def test_a_stopped_worker_is_seen_and_replaced_at_the_cost_of_what_it_had_accepted(
    shop: ShopWindow, shop_replica: ReplicaProcess
) -> None:
    before = shop_replica.workers()

    with _load(shop, shop_replica) as load:
        suspend(shop_replica.pid)  # or it ends the worker before it is seen to be stopped
        suspend(before[1].pid)
        seen = wait_for(
            lambda: [said for said in _reasons(shop_replica) if "worker 1" in said], what="a worker that is stopped"
        )
        os.kill(shop_replica.pid, signal.SIGCONT)
        wait_for(lambda: is_gone(before[1].pid), what="the end of the stopped worker")
        shop_replica.wait_ready()

    after = shop_replica.workers()
    told = json.loads((shop_replica.folder / "agent.json").read_text())
    assert len(load.result().failures) <= CONNECTIONS
    assert f"process {before[1].pid}) is stopped" in seen[0]
    assert told["replaced"] == 1
    assert f"worker 1 (process {before[1].pid}) ended" in told["last_replaced"]
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_an_agent_that_finds_only_stopped_workers_gets_the_port_all_the_same(
    shop: ShopWindow, shop_replica: ReplicaProcess
) -> None:
    before = shop_replica.workers()
    shop_replica.kill_agent()
    for worker in before.values():
        os.kill(worker.pid, signal.SIGSTOP)

    _takes_over(shop_replica)

    assert not set(shop_replica.workers().values()) & set(before.values())
    assert shop_replica.search(item_id="item/1", catalog="plain").status_code == 200


def test_workers_of_other_settings_are_replaced_one_by_one_without_a_failed_request(
    shop: ShopWindow, shop_replica: ReplicaProcess
) -> None:
    before = shop_replica.workers()

    with _load(shop, shop_replica) as load:
        shop_replica.kill_agent()
        shop_replica.start(wait=False, search_workers="1", search_max_top_k="7")
        wait_for(lambda: _new(shop_replica, before) and len(shop_replica.workers()) == 1, what="one new worker")
        shop_replica.wait_ready()
        refused = shop_replica.search(item_id="item/1", catalog="plain", top_k=8)
        shop_replica.kill_agent()
        shop_replica.start(wait=False)
        wait_for(lambda: len(shop_replica.workers()) == 2 and not _old(shop_replica), what="two workers as before")
        shop_replica.wait_ready()

    assert load.result().failures == []
    assert refused.status_code == 400
    assert shop_replica.search(item_id="item/1", catalog="plain", top_k=8).status_code == 200


def test_a_second_worker_of_the_same_place_ends_at_once(shop_replica: ReplicaProcess) -> None:
    before = shop_replica.workers()
    environment = {**os.environ, **shop_replica.settings.to_environment()}

    second = subprocess.run(
        [sys.executable, "-m", "serving.worker", "--index", "0", "--listen-fd", "0"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert second.returncode == PLACE_TAKEN
    assert "is worker 0" in second.stderr
    assert shop_replica.workers() == before
    assert shop_replica.wait_ready()["status"] == "ready"


def test_workers_without_an_agent_end_by_command(shop: ShopWindow, shop_replica: ReplicaProcess) -> None:
    before = shop_replica.workers()
    shop_replica.kill_agent()
    environment = {**os.environ, **shop_replica.settings.to_environment()}
    command = [sys.executable, "-m", "serving", "stop"]

    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=True)
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=True)

    assert "2 processes ended" in ended.stdout
    assert "nothing ran" in again.stdout
    assert all(is_gone(worker.pid) for worker in before.values())
    shop_replica.start()


def _reasons(replica: ReplicaProcess) -> list[str]:
    return list(replica.get("/readyz").json()["reasons"])


def _new(replica: ReplicaProcess, before: dict[int, ProcessIdentity]) -> bool:
    return not set(replica.workers().values()) & set(before.values())


def _old(replica: ReplicaProcess) -> list[str]:
    """The places whose worker is still of other settings than the newest one's."""
    folder = ReplicaFolder(replica.settings.state_dir, replica.settings.replica_id)
    notes = {_note(folder, index) for index in replica.workers()}
    return sorted(notes)[1:]


def _note(folder: ReplicaFolder, index: int) -> str:
    return Path(folder.worker_lock(index)).read_text()
