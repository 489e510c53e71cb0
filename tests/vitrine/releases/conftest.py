"""One running search replica for the tests of the release protocol; each test has a catalog of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.conftest import new_ledger
from tests.evidence import evidence, tails
from tests.free_ports import free_port
from tests.replicas.search_replica import SearchReplica
from tests.replicas.tiny_release import TinyRelease, publish_tiny_release
from tests.settings import settings_of
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore


@dataclass(frozen=True)
class Tier:
    """A replica with its settings, its ledger and its store."""

    settings: Settings
    ledger: Ledger
    store: ObjectStore
    replica: SearchReplica

    def live(self, catalog_id: str) -> str | None:
        pointer = self.ledger.releases.live(catalog_id)
        return pointer.release_id if pointer else None

    def served(self, catalog_id: str) -> str:
        return str(self.replica.get("/v1/release", catalog=catalog_id).json()["release_id"])


@pytest.fixture(scope="session")
def tier(s3_server: dict[str, str], postgres_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tier]:
    """A running replica of two workers."""
    store = ObjectStore("release-tests", **s3_server)
    store.ensure_bucket()
    database_url = new_ledger(postgres_uri)
    settings = settings_of(
        tmp_path_factory.mktemp("tier"),
        s3_server,
        store,
        database_url,
        {
            "VITRINE_SEARCH_PORT": str(free_port()),
            "VITRINE_REPLICA_POLL_S": "0.1",
            "VITRINE_STAGE_TIMEOUT_S": "600",
        },
    )
    ledger = Ledger(database_url, journal=store)
    replica = SearchReplica(settings).start()
    with evidence("tier", lambda: tails([replica.log])):
        yield Tier(settings, ledger, store, replica)
    replica.end()
    ledger.close()


@pytest.fixture
def publish(tier: Tier, catalog_id: str) -> Callable[..., TinyRelease]:
    """Publishes a small release of the test's catalog and offers it as an approved candidate."""

    def publish(mark: str, **options: object) -> TinyRelease:
        seed = sum(map(ord, mark))
        return publish_tiny_release(
            tier.store, tier.ledger, **{"catalog_id": catalog_id, "mark": mark, "seed": seed, **options}
        )

    return publish
