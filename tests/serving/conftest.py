"""What the tests of the search tier share: a ledger of their own and a real replica."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from pydantic import SecretStr

from tests.conftest import new_ledger
from tests.evidence import evidence, tails
from tests.free_ports import free_port
from tests.serving.odd_shop import open_odd_shop
from tests.serving.replica_process import ReplicaProcess
from tests.serving.shop_window import ShopWindow, open_shop_window
from tests.settings import settings_of
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore


@pytest.fixture
def tier_settings(settings: Settings, postgres_uri: str, catalog_id: str) -> Settings:
    """Settings with a ledger of the test's own, a free port and the test's catalog as the default one."""
    update = {
        "database_url": SecretStr(new_ledger(postgres_uri)),
        "search_port": free_port(),
        "default_catalog": catalog_id,
        "replica_poll_s": 0.1,
        "stage_timeout_s": 600.0,
    }
    return settings.model_copy(update=update)


@pytest.fixture
def tier_ledger(tier_settings: Settings, object_store: ObjectStore) -> Iterator[Ledger]:
    """The ledger of `tier_settings`."""
    ledger = Ledger(tier_settings.database_url.get_secret_value(), journal=object_store)
    yield ledger
    ledger.close()


@pytest.fixture
def replica(tier_settings: Settings) -> Iterator[ReplicaProcess]:
    """A replica that is not started yet; ended after the test."""
    process = ReplicaProcess(tier_settings)
    with evidence("replica", lambda: tails([process.log])):
        yield process
    process.end()


@pytest.fixture(scope="session")
def shop(
    s3_server: dict[str, str], postgres_uri: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ShopWindow]:
    """An app in this process with two live catalogs: `shop`, encoded, with pictures, and `plain`, of vectors."""
    store = ObjectStore("serving-shop", **s3_server)
    store.ensure_bucket()
    database_url = new_ledger(postgres_uri)
    ledger = Ledger(database_url)
    state = tmp_path_factory.mktemp("shop")
    settings = settings_of(
        state,
        s3_server,
        store,
        database_url,
        {
            "VITRINE_SEARCH_PORT": str(free_port()),
            "VITRINE_REPLICA_POLL_S": "0.1",
            "VITRINE_STAGE_TIMEOUT_S": "600",
            # A body that is held up on purpose is held as long as a slow machine takes for everything else.
            "VITRINE_SEARCH_BODY_TIMEOUT_S": "600",
            "VITRINE_DEFAULT_CATALOG": "shop",
            "VITRINE_SEARCH_MAX_BODY_BYTES": "200000",
            "VITRINE_IMAGE_MAX_PIXELS": "300000",
            "VITRINE_SEARCH_MAX_PIXELS": "300000",
        },
    )
    yield open_shop_window(settings, store, ledger, state)
    ledger.close()


@pytest.fixture(scope="session")
def odd_app(s3_server: dict[str, str], postgres_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """An app in this process over a catalog of vectors whose items have all kinds of ids."""
    store = ObjectStore("serving-odd", **s3_server)
    store.ensure_bucket()
    database_url = new_ledger(postgres_uri)
    ledger = Ledger(database_url)
    settings = settings_of(
        tmp_path_factory.mktemp("odd"),
        s3_server,
        store,
        database_url,
        {
            "VITRINE_DEFAULT_CATALOG": "odd",
            "VITRINE_SEARCH_MAX_BODY_BYTES": "200000",
        },
    )
    yield open_odd_shop(settings, store, ledger)
    ledger.close()


@pytest.fixture(scope="session")
def shop_replica(shop: ShopWindow) -> Iterator[ReplicaProcess]:
    """A running replica of two workers that serves both catalogs of `shop`."""
    for tiny in (shop.encoded, shop.plain):
        shop.ledger.releases.activate(
            catalog_id=tiny.catalog_id,
            release_id=tiny.release_id,
            head_sequence=1,
            expected_generation=0,
            action="release",
            actor="test",
        )
    process = ReplicaProcess(shop.settings).start()
    with evidence("shop_replica", lambda: tails([process.log])):
        yield process
    process.end()
