"""The agent, round by round, without workers: what it fetches and what it lets go of."""

from __future__ import annotations

import time
from pathlib import Path

from serving.agent import Agent
from serving.replica_folder import ReplicaFolder
from serving.supervisor import Supervisor
from tests.replicas.tiny_release import publish_tiny_release
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore


def test_a_download_that_is_withdrawn_does_not_stop_the_pruning(
    tier_settings: Settings, tier_ledger: Ledger, object_store: ObjectStore, catalog_id: str
) -> None:
    settings = tier_settings
    folder = ReplicaFolder(settings.state_dir, settings.replica_id)
    folder.make()
    supervisor = Supervisor(settings, folder)
    agent = Agent(settings, folder=folder, supervisor=supervisor, ledger=tier_ledger, object_store=object_store)
    tiny = publish_tiny_release(object_store, tier_ledger, catalog_id=catalog_id)
    tier_ledger.releases.request_staging(catalog_id=catalog_id, release_id=tiny.release_id)
    agent.round()
    tier_ledger.releases.clear_staging(catalog_id, release_id=tiny.release_id)

    arrived = _within_seconds(folder.cache, lambda: None, expect=True)
    gone = _within_seconds(folder.cache, agent.round, expect=False)

    supervisor.stop()
    assert (arrived, gone) == (True, True)


def _within_seconds(cache: Path, act: object, *, expect: bool) -> bool:
    """Acts until the cache holds a release, or none; tells whether that came about."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        act()  # type: ignore[operator]
        if bool(list(cache.glob("*/releases/*.json"))) is expect:
            return True
        time.sleep(0.05)
    return False
