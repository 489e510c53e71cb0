"""Opens the object store and the ledger that the settings name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from vitrine.settings import Settings
from vitrine.storage import ObjectStore
from vitrine.storage.object_store import MAX_ATTEMPTS

if TYPE_CHECKING:
    from vitrine.ledger import Ledger


def open_object_store(
    settings: Settings, *, timeout_s: float | None = None, max_attempts: int = MAX_ATTEMPTS
) -> ObjectStore:
    """Returns the object store of `settings`, with another timeout where one is given; no request is made."""
    return ObjectStore(
        settings.bucket,
        endpoint_url=settings.s3_endpoint_url,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value() if settings.s3_secret_key else None,
        region=settings.s3_region,
        timeout_s=timeout_s or settings.s3_timeout_s,
        max_attempts=max_attempts,
    )


def open_ledger(settings: Settings, *, journal: ObjectStore | None = None) -> Ledger:
    """Returns the ledger of `settings`; no connection is made yet, and whoever opens it closes it.

    Args:
        settings: of the platform.
        journal: the object store that its transitions are copied to; None opens one.

    Raises:
        SettingsError: no database is configured.
    """
    from vitrine.ledger import Ledger  # SQLAlchemy is a third of what a Spark worker would import, and it opens none

    return Ledger(settings.database_url.get_secret_value(), journal=journal or open_object_store(settings))


@contextmanager
def open_connections(settings: Settings) -> Iterator[tuple[ObjectStore, Ledger]]:
    """Yields the object store and the ledger of `settings` for one call of an entry point, then closes the ledger.

    Raises:
        SettingsError: no database is configured.
    """
    object_store = open_object_store(settings)
    with closing(open_ledger(settings, journal=object_store)) as ledger:
        yield object_store, ledger
