"""A real replica: releases swapped under load, processes killed, the object store and the ledger away."""

from __future__ import annotations

import os
import signal
import socket
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

from benchmarks.serving_load import run_load
from tests.free_ports import free_port
from tests.replicas.tiny_release import TinyRelease, publish_tiny_release
from tests.serving.replica_process import ReplicaProcess
from tests.serving.shop_window import ShopWindow
from tests.waiting import is_gone, wait_for
from vitrine.ledger import Ledger
from vitrine.releases.activation import live_generation
from vitrine.releases.control import promote, release_or_restore
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

SECONDS = 30.0
MOST_SECONDS = 600.0  # until as many swaps are over on a busy machine
RATE = 60.0  # a second; fewer are sent where the cores do not give as many answers


def test_no_request_fails_while_releases_are_swapped_and_each_answer_is_of_the_release_it_names(
    shop: ShopWindow, shop_replica: ReplicaProcess, catalog_id: str
) -> None:
    releases: dict[str, TinyRelease] = {}
    for number, mark in enumerate(("first", "second", "third")):
        tiny = publish_tiny_release(shop.store, shop.ledger, catalog_id=catalog_id, mark=mark, seed=number)
        releases[tiny.release_id] = tiny
    order = list(releases)
    promote(shop.settings, catalog_id=catalog_id, release_id=order[0], actor="test")
    vectors = releases[order[0]].vectors
    bodies = [{"embedding": vector.tolist(), "catalog": catalog_id, "top_k": 5} for vector in vectors[:20]]
    bodies += [{"item_id": f"item/{row}", "catalog": catalog_id, "top_k": 5} for row in range(20)]

    def swap() -> list[str]:
        began, swaps = time.monotonic(), []
        while len(swaps) < 2 or time.monotonic() - began < SECONDS - 6:
            swaps.append(order[(len(swaps) + 1) % len(order)])
            promote(shop.settings, catalog_id=catalog_id, release_id=swaps[-1], actor="test")
        return swaps

    began = time.monotonic()
    with ThreadPoolExecutor(1) as other:
        swapping = other.submit(swap)
        load = run_load(
            shop_replica.url,
            bodies,
            seconds=MOST_SECONDS,
            connections=8,
            rate=RATE,
            keep_bodies=True,
            is_over=lambda: swapping.done() and time.monotonic() - began >= SECONDS,
        )
        swaps = swapping.result()

    assert load.failures == []
    if load.per_second < 50:
        warnings.warn(f"the load was {load.per_second:.0f} requests a second", stacklevel=1)
    assert len(load.sent) > len(swaps) >= 2
    answered = {one.body["release_id"] for one in load.sent if one.body}
    assert len(answered) >= 2
    for one in load.sent:
        assert one.body is not None
        mark = releases[one.body["release_id"]].mark
        assert len(one.body["results"]) == 5
        assert all(result["title"].startswith(f"{mark}:") for result in one.body["results"])


def test_a_killed_worker_comes_back_with_what_is_live_while_the_other_answers(
    shop: ShopWindow, shop_replica: ReplicaProcess
) -> None:
    before = shop_replica.wait_ready()
    victim = before["workers"][0]["pid"]

    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: is_gone(victim), what="the end of the worker")  # with the connections that it had accepted
    meanwhile = [shop_replica.get("/v1/release").status_code for _ in range(20)]

    def successors() -> list[int]:
        pids = [worker["pid"] for worker in shop_replica.wait_ready()["workers"]]
        return [] if victim in pids else pids

    pids = wait_for(successors, what="a worker in the place of the killed one")

    assert meanwhile == [200] * 20
    assert len(pids) == 2
    assert shop_replica.wait_ready()["live"]["shop"] == shop.encoded.release_id


def test_a_killed_tier_starts_again_from_its_disk_while_the_store_and_the_ledger_are_away(
    replica: ReplicaProcess, tier_settings: Settings, tier_ledger: Ledger, object_store: ObjectStore, catalog_id: str
) -> None:
    tiny = publish_tiny_release(object_store, tier_ledger, catalog_id=catalog_id)
    replica.start(search_workers="1")
    release_or_restore(
        object_store,
        tier_ledger,
        catalog_id=catalog_id,
        release_id=tiny.release_id,
        expected_generation=live_generation(tier_settings, catalog_id=catalog_id),
        action="release",
        actor="test",
        stage_timeout_s=tier_settings.stage_timeout_s,
    )
    before = replica.get("/v1/release").json()

    replica.kill()
    nowhere = free_port()
    replica.start(
        search_workers="1",
        s3_endpoint_url=f"http://127.0.0.1:{nowhere}",
        database_url=f"postgresql+psycopg2://nobody@127.0.0.1:{nowhere}/nothing",
    )

    assert replica.get("/v1/release").json() == before
    assert replica.wait_ready()["ledger"] == "unreachable"
    assert replica.search(embedding=tiny.vectors[5].tolist()).json()["results"][0]["item_id"] == "item/5"
    assert replica.stop() == 0
    assert _is_free(tier_settings.search_port)


def test_a_second_replica_of_the_same_name_or_port_is_refused_with_the_reason(
    shop_replica: ReplicaProcess,
) -> None:
    same_name = ReplicaProcess(shop_replica.settings).start(wait=False, search_port=str(free_port()))
    same_port = ReplicaProcess(shop_replica.settings).start(wait=False, replica_id="another")

    for process, says in ((same_name, "runs already"), (same_port, "VITRINE_SEARCH_PORT")):
        wait_for(lambda process=process: not process.is_running(), what=f"the end of a replica that {says!r} ends")
        assert says in process.log.read_text()
    assert shop_replica.wait_ready()["status"] == "ready"


def test_a_release_is_verified_at_the_address_that_the_replica_announces(
    replica: ReplicaProcess, tier_settings: Settings, tier_ledger: Ledger, object_store: ObjectStore, catalog_id: str
) -> None:
    tiny = publish_tiny_release(object_store, tier_ledger, catalog_id=catalog_id)
    elsewhere = ReplicaProcess(tier_settings.model_copy(update={"search_host": "127.0.0.2", "search_workers": 1}))
    elsewhere.start()

    promote(tier_settings, catalog_id=catalog_id, release_id=tiny.release_id, actor="test")

    announced = [known.url for known in tier_ledger.replicas.replicas()]
    assert announced == [f"http://127.0.0.2:{tier_settings.search_port}"]
    assert _is_free(tier_settings.search_port)  # of 127.0.0.1, where nobody would have answered
    assert elsewhere.get("/v1/release").json()["release_id"] == tiny.release_id
    elsewhere.end()


def test_a_replica_that_listens_everywhere_does_not_start_without_the_url_that_others_know(
    replica: ReplicaProcess,
) -> None:
    replica.start(wait=False, search_host="0.0.0.0")

    wait_for(lambda: not replica.is_running(), what="the end of a replica that nobody can reach")

    assert "VITRINE_SEARCH_URL" in replica.log.read_text()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
