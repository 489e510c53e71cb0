"""The live release moves back and forth under load: no request fails, each answer fits the release that it names."""

from __future__ import annotations

import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deploy.local.airflow_api import DagRun
from deploy.local.catalog_runs import read_catalog_state
from tests.end_to_end.conftest import CATALOG_ID, HTTP_TIMEOUT_S, LATER_DAY, Released, live_release
from tests.platform_fixture import Platform
from tests.waiting import wait_for
from vitrine.connections import open_ledger, open_object_store
from vitrine.contracts.releases import IndexVersion, Release
from vitrine.storage import keys

pytestmark = pytest.mark.timeout(3000)

RATE = 60.0  # requests a second
SECONDS = 30.0
# 50 a second; where others use the cores the load lasts until as many were answered, and says so.
LEAST_ANSWERS = 1500
CLIENTS = 6

RunToTheEnd = Callable[[Callable[[], object]], list[DagRun]]


@dataclass
class Load:
    """What the clients saw; appended to by their threads."""

    seconds: float = 0.0
    answers: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def test_no_request_fails_while_releases_are_swapped_and_each_answer_fits_the_release_it_names(
    platform: Platform, released: Released, deliveries: dict[str, str], run_to_the_end: RunToTheEnd
) -> None:
    newer = _second_release(platform, released, deliveries, run_to_the_end)
    older = str(released.live["release_id"])
    expected = {release_id: _items_of(platform, release_id) for release_id in (older, newer)}
    generation = _generation(platform)

    with _load(platform, item_id=sorted(expected[older] & expected[newer])[0]) as load:
        run_to_the_end(lambda: _act(platform, action="rollback", release_id=older, reason="a drill"))
        pinned = read_catalog_state(platform.configuration, CATALOG_ID).live
        run_to_the_end(lambda: _act(platform, action="promote", release_id=newer, reason="the drill is over"))

    state = read_catalog_state(platform.configuration, CATALOG_ID)
    assert load.failures == []
    assert len(load.answers) >= LEAST_ANSWERS
    assert load.seconds >= SECONDS
    if len(load.answers) < 50 * load.seconds:
        warnings.warn(f"the load was {len(load.answers) / load.seconds:.0f} requests a second", stacklevel=1)
    assert set(Counter(release_id for release_id, _ in load.answers)) == {older, newer}
    assert [release_id for release_id, items in load.answers if items != expected[release_id]] == []
    assert pinned is not None and pinned.pinned and pinned.pin_reason == "a drill"
    assert state.live is not None
    assert (state.live.release_id, state.live.pinned) == (newer, False)
    assert state.live.generation == generation + 2


def test_the_history_says_who_swapped_and_why(platform: Platform) -> None:
    ledger = open_ledger(platform.settings)
    history = ledger.releases.history(CATALOG_ID)
    ledger.close()

    by_hand = {entry["reason"]: entry["actor"] for entry in history if entry["action"] in ("rollback", "promote")}
    assert set(by_hand) == {"a drill", "the drill is over"}
    assert all(actor.startswith("admin by demo.release_index") for actor in by_hand.values())


@contextmanager
def _load(platform: Platform, *, item_id: str) -> Iterator[Load]:
    """Sends a steady load until the block ends, for `SECONDS` at least and until `LEAST_ANSWERS` were given."""
    load, stop, started = Load(), threading.Event(), time.monotonic()
    clients = [
        threading.Thread(target=_client, args=(platform.search_url, number, item_id, load, stop, started))
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    try:
        yield load
        stop.wait(max(0.0, SECONDS - (time.monotonic() - started)))
        wait_for(
            lambda: load.failures or len(load.answers) >= LEAST_ANSWERS, what=f"{LEAST_ANSWERS} answers", timeout_s=600
        )
    finally:
        stop.set()
        for client in clients:
            client.join(timeout=2 * HTTP_TIMEOUT_S)
        load.seconds = time.monotonic() - started


def _client(url: str, number: int, item_id: str, load: Load, stop: threading.Event, started: float) -> None:
    # The whole catalog is asked for, so that an answer shows which release's rows it was made from.
    bodies = [{"item_id": item_id}, {"item_id": item_id}, {"text": "a red dress"}]
    with httpx.Client(base_url=url, timeout=HTTP_TIMEOUT_S, trust_env=False) as client:
        sent = 0
        while not stop.is_set():
            due = started + (sent * CLIENTS + number) / RATE
            if stop.wait(max(0.0, due - time.monotonic())):
                return
            body = {"catalog": CATALOG_ID, "top_k": 200, **bodies[sent % len(bodies)]}
            try:
                answer = client.post("/v1/search", json=body)
                if answer.status_code == httpx.codes.OK:
                    found = answer.json()
                    # An item is not similar to itself.
                    itself = {item_id} if "item_id" in body else set()
                    items = frozenset({result["item_id"] for result in found["results"]} | itself)
                    load.answers.append((found["release_id"], items))
                else:
                    load.failures.append(f"{answer.status_code} {answer.text[:200]}")
            except httpx.HTTPError as error:
                load.failures.append(f"{type(error).__name__}: {error}")
            sent += 1


def _second_release(
    platform: Platform, released: Released, deliveries: dict[str, str], run_to_the_end: RunToTheEnd
) -> str:
    if live_release(platform)["release_id"] == released.live["release_id"]:
        conf = {"source": deliveries[LATER_DAY]}
        run_to_the_end(
            lambda: platform.airflow.trigger(f"{CATALOG_ID}.ingest_catalog", partition_key=LATER_DAY, conf=conf)
        )
    return str(live_release(platform)["release_id"])


def _act(platform: Platform, *, action: str, release_id: str, reason: str) -> None:
    conf = {"action": action, "release_id": release_id, "reason": reason}
    platform.airflow.trigger(f"{CATALOG_ID}.release_index", conf=conf)


def _items_of(platform: Platform, release_id: str) -> frozenset[str]:
    store = open_object_store(platform.settings)
    release = Release.from_bytes(store.get_bytes(keys.release(CATALOG_ID, release_id)))
    prefix = keys.index_prefix(CATALOG_ID, release.index_version)
    index = IndexVersion.from_bytes(store.get_bytes(f"{prefix}/manifest.json"))
    parts = [file.name for file in index.files if file.name.startswith("rows/")]
    rows = [pq.read_table(pa.BufferReader(store.get_bytes(f"{prefix}/{part}")), columns=["item_id"]) for part in parts]
    return frozenset(item_id for table in rows for item_id in table["item_id"].to_pylist())


def _generation(platform: Platform) -> int:
    live = read_catalog_state(platform.configuration, CATALOG_ID).live
    assert live is not None
    return live.generation
