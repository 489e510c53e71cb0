"""The encoder of the library's tests as a stage gets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitrine.encoder import fetch_encoder, publish_encoder
from vitrine.storage import ObjectStore


@pytest.fixture(scope="session")
def published(checkpoint: Path, s3_server: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same encoder as `fetch_encoder` brings it: converted, with its manifest."""
    store = ObjectStore("published-encoders", **s3_server)
    store.ensure_bucket()
    return fetch_encoder(publish_encoder(checkpoint, store), store, tmp_path_factory.mktemp("encoders"))
