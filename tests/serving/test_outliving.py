"""Workers outlive their agent, the next agent takes them over, and whoever hangs is replaced, under load."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from replica_process import ReplicaProcess
from shop_window import ShopWindow

from benchmarks.serving_load import Load, run_load
from tests.waiting import is_gone, wait_for

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
        os.kill(before[1].pid, signal.SIGSTOP)
        seen = wait_for(
            lambda: [said for said in _reasons(shop_replica) if "worker 1" in said], what="a worker that is stopped"
        )
        wait_for(lambda: is_gone(before[1].pid), what="the end of the stopped worker")
        shop_replica.wait_ready()

    after = shop_replica.workers()
    assert len(load.result().failures) <= CONNECTIONS
    assert f"process {before[1].pid}) is stopped" in seen[0]
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


def _reasons(replica: ReplicaProcess) -> list[str]:
    return list(replica.get("/readyz").json()["reasons"])
