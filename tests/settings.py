"""Settings for tests: one way to point at a folder, a bucket of the session's S3 server, and a ledger."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vitrine.settings import Settings
from vitrine.storage import ObjectStore


def settings_of(
    state_dir: Path,
    s3_server: Mapping[str, str],
    store: ObjectStore,
    database_url: str,
    others: Mapping[str, str] | None = None,
) -> Settings:
    """Returns settings of a platform of which a test needs its store and its ledger.

    Args:
        state_dir: of the test.
        s3_server: the fixture of that name.
        store: a bucket on it.
        database_url: of a ledger.
        others: VITRINE_* variables.
    """
    return Settings.from_environment(
        {
            "VITRINE_STATE_DIR": str(state_dir),
            "VITRINE_BUCKET": store.bucket,
            "VITRINE_S3_ENDPOINT_URL": s3_server["endpoint_url"],
            "VITRINE_S3_ACCESS_KEY": s3_server["access_key"],
            "VITRINE_S3_SECRET_KEY": s3_server["secret_key"],
            "VITRINE_DATABASE_URL": database_url,
            **(others or {}),
        }
    )
