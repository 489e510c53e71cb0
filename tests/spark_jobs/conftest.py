"""What the Spark job tests share: a tiny encoder, and settings for either way to run a job."""

from __future__ import annotations

import pytest

from tests.spark_jobs.tiny_encoder import copy_encoders, publish_tiny_encoder
from vitrine.encoder import Encoder, fetch_encoder, load_encoder
from vitrine.settings import Settings
from vitrine.storage import ObjectStore


@pytest.fixture(params=["in this process", "by Spark"])
def either_way(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """Settings that keep a job in this process, and settings that send it to Spark: either way the outcome is one."""
    rows = 0 if request.param == "by Spark" else 1_000_000
    return settings.model_copy(update={"spark_in_process_rows": rows})


@pytest.fixture(scope="session")
def encoder_store(s3_server: dict[str, str]) -> ObjectStore:
    """A bucket that holds the tiny encoder."""
    store = ObjectStore("embedding-encoders", **s3_server)
    store.ensure_bucket()
    return store


@pytest.fixture(scope="session")
def published(encoder_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny encoder's fingerprint."""
    return publish_tiny_encoder(tmp_path_factory.mktemp("tiny"), encoder_store)


@pytest.fixture
def fingerprint(published: str, encoder_store: ObjectStore, object_store: ObjectStore) -> str:
    """The fingerprint of the tiny encoder, which is in this test's bucket."""
    copy_encoders(encoder_store, object_store)
    return published


@pytest.fixture(scope="session")
def encoder(published: str, encoder_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """The tiny encoder."""
    cache = tmp_path_factory.mktemp("encoders")
    return load_encoder(fetch_encoder(published, encoder_store, cache), cache_dir=cache)
