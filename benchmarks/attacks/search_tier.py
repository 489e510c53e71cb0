"""A search tier to attack: PostgreSQL, an S3 server, two catalogs and a replica, on ports of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.temporary_postgres import temporary_postgres
from benchmarks.temporary_s3 import temporary_s3

ROOT = Path(__file__).resolve().parents[2]

_START_S = 600.0


@dataclass(frozen=True)
class SearchTier:
    """A running replica."""

    port: int
    replica: Any

    def is_healthy(self) -> bool:
        """Says whether both workers still answer."""
        return all(self.replica.get("/healthz").status_code == 200 for _ in range(8)) and self.replica.is_running()


@contextmanager
def search_tier(*, encoded: bool = True, **changes: str) -> Iterator[SearchTier]:
    """Runs a replica of `shop`, encoded, with pictures, unless `encoded` is false, and of `plain`, of vectors.

    `changes` are settings. Without an encoder it starts in a few seconds.
    """
    from tests.conftest import new_ledger
    from tests.free_ports import free_ports
    from tests.replicas.tiny_release import publish_tiny_release  # the catalogs are those of the tests
    from tests.serving.replica_process import ReplicaProcess
    from tests.serving.shop_window import open_shop_window
    from vitrine.ledger import Ledger
    from vitrine.settings import Settings
    from vitrine.storage import ObjectStore

    with ExitStack() as opened:
        folder = Path(tempfile.mkdtemp(prefix="vtatk-"))  # short: Unix socket paths end at 107 bytes
        opened.callback(shutil.rmtree, folder, ignore_errors=True)
        (folder / "pg").mkdir()
        s3_port, search_port = free_ports(2)
        postgres_uri = opened.enter_context(temporary_postgres(folder / "pg"))
        s3 = opened.enter_context(temporary_s3(folder / "s3", port=s3_port, log=folder / "rclone.log"))
        store = ObjectStore("attacks", **s3)
        store.ensure_bucket()
        url = new_ledger(postgres_uri)
        ledger = Ledger(url)
        opened.callback(ledger.close)
        settings = Settings.from_environment(
            {
                "VITRINE_STATE_DIR": str(folder / "state"),
                "VITRINE_BUCKET": "attacks",
                "VITRINE_S3_ENDPOINT_URL": s3["endpoint_url"],
                "VITRINE_S3_ACCESS_KEY": s3["access_key"],
                "VITRINE_S3_SECRET_KEY": s3["secret_key"],
                "VITRINE_DATABASE_URL": url,
                "VITRINE_SEARCH_PORT": str(search_port),
                "VITRINE_REPLICA_POLL_S": "0.1",
                "VITRINE_DEFAULT_CATALOG": "shop" if encoded else "plain",
                **changes,
            }
        )
        print("starting a search tier of two workers", flush=True)
        if encoded:
            shop = open_shop_window(settings, store, ledger, folder / "window")
            published = [shop.encoded, shop.plain]
        else:
            published = [publish_tiny_release(store, ledger, catalog_id="plain", items=1_000)]
        for tiny in published:
            ledger.releases.activate(
                catalog_id=tiny.catalog_id,
                release_id=tiny.release_id,
                head_sequence=1,
                expected_generation=0,
                action="release",
                actor="attack",
            )
        replica = ReplicaProcess(settings)
        opened.callback(replica.end)
        replica.start(wait=False)
        replica.wait_ready(_START_S)
        yield SearchTier(search_port, replica)
