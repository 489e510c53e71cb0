"""What publishing a manifest would take out of the head: gated before anything of it is embedded, unless it is meant.

It is gated once more when it is published, if the head has moved since. The head as it is, with all its days, is
compared with what it would be: a full delivery removes what it omits, a daily one what it deletes, one that replaces
the day's earlier delivery what only that one had brought, and later days may bring items back or have removed them
already.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vitrine.contracts.datasets import Manifest
from vitrine.errors import GateError
from vitrine.head.reader import HeadReader, read_manifest
from vitrine.identity import attempt_id
from vitrine.ledger import Ledger
from vitrine.ledger.attempts import Attempts
from vitrine.ledger.partitions import Head
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

SAMPLED_IDS = 1_000_000
"""Of more ids a sample by their hash is compared: 130 MB at most, and a share that is right to 0.2 points."""
_MEANT_SCOPE = "removal_is_meant"
_EXAMPLES = 3


@dataclass(frozen=True)
class Removal:
    """How much a manifest takes out of the head.

    Attributes:
        removed: items that would be gone; at most so many where counts alone settled it.
        items: of the head as it is; at least so many.
        examples: some that would be gone.
        one_of: so many ids stand for each that was compared.
    """

    removed: int
    items: int
    examples: tuple[str, ...] = ()
    one_of: int = 1

    @property
    def share(self) -> float:
        """Of the head, 0 to 1."""
        return self.removed / self.items if self.items else 0.0


def check_removal(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, manifest: Manifest, *, head: Head, limit: float
) -> Removal:
    """Judges what a manifest would take out of the catalog's head, and records the check.

    Raises:
        GateError: it is a larger share than `limit`, and nobody said that it is meant.
    """
    catalog_id, dt = manifest.catalog_id, manifest.dt
    removal = removal_of(object_store, manifest, current=head.manifests, limit=limit)
    key = _meant_key(catalog_id, dt, manifest.delivery_id)
    is_meant = ledger.attempts.committed(scope=_MEANT_SCOPE, key=key) is not None
    ledger.checks.record(
        catalog_id=catalog_id,
        check_name="max_removed_share",
        subject_id=manifest.manifest_id,
        value=removal.share,
        passed=is_meant or removal.share <= limit,
        detail={"dt": dt, "limit": limit, "rows": removal.removed, "items": removal.items, "is_meant": is_meant},
    )
    if is_meant or removal.share <= limit:
        return removal
    kind = "full delivery, which omits them," if manifest.full else "delivery"
    counted = f", counted on one of {removal.one_of} ids" if removal.one_of > 1 else ""
    raise GateError(
        f"catalog {catalog_id} {dt}: this {kind} would take {removal.removed:,} of {removal.items:,} items out of the "
        f"head: {removal.share:.1%}{counted} (limit {limit:.1%}, `max_removed_share`), such as "
        f"{', '.join(removal.examples)}. Nothing of it is published. Deliver the day again. If it is "
        f"meant, say so: `make ingest … REMOVAL=meant`, `Removal is meant` in the form of a run for {dt} without a "
        "source, or a file `_removal_is_meant` beside the items; redoing the day later asks nobody again. Or raise the "
        f"limit under `quality` of {catalog_id} in {settings.catalogs_file}, and run it again"
    )


def removal_of(
    object_store: ObjectStore,
    manifest: Manifest,
    *,
    current: Mapping[str, str],
    limit: float,
    sampled_ids: int = SAMPLED_IDS,
) -> Removal:
    """Returns what a manifest would remove; rows are read only where it could be more than `limit`.

    Args:
        object_store: where the manifests are.
        manifest: that would be published.
        current: the catalog's current manifests by day, as `ledger.partitions.head(catalog_id).manifests`.
        limit: a share; below it the answer may be a bound.
        sampled_ids: the most ids that are held at a time.
    """
    standing = current.get(manifest.dt)
    if not current or standing == manifest.manifest_id:
        return Removal(0, 0)
    if not manifest.full:
        most = manifest.rows_deleted
        if standing is not None:
            most += _alive(read_manifest(object_store, manifest.catalog_id, manifest.dt, standing))
        least = _least_items(_days(object_store, manifest.catalog_id, current), enough=most / limit if limit else None)
        if most <= limit * least:
            return Removal(most, least)
    return _compared(object_store, manifest, current, sampled_ids=sampled_ids)


def say_removal_is_meant(
    attempts: Attempts, *, catalog_id: str, dt: str, delivery_id: str, said_by: Mapping[str, str]
) -> None:
    """Notes that what a delivery removes is meant: for good, so that redoing the day asks nobody again."""
    key = _meant_key(catalog_id, dt, delivery_id)
    attempts.commit(scope=_MEANT_SCOPE, key=key, attempt_id=attempt_id(), result=dict(said_by))


def _meant_key(catalog_id: str, dt: str, delivery_id: str) -> str:
    return f"{catalog_id}/{dt}/{delivery_id}"


def _days(object_store: ObjectStore, catalog_id: str, manifests: Mapping[str, str]) -> Iterator[Manifest]:
    """Yields manifests of days, newest first, as far back as they decide about the head."""
    for dt in sorted(manifests, reverse=True):
        manifest = read_manifest(object_store, catalog_id, dt, manifests[dt])
        yield manifest
        if manifest.full:
            return


def _alive(manifest: Manifest) -> int:
    return manifest.rows_accepted - manifest.rows_deleted


def _least_items(days: Iterator[Manifest], *, enough: float | None) -> int:
    """Returns how many items the head has at least: what a day brought, less all deletions since; stops at `enough`."""
    least = deleted = 0
    for manifest in days:
        least = max(least, _alive(manifest) - deleted)
        if enough is not None and least >= enough:
            break
        deleted += manifest.rows_deleted
    return least


def _compared(
    object_store: ObjectStore, manifest: Manifest, current: Mapping[str, str], *, sampled_ids: int
) -> Removal:
    catalog_id = manifest.catalog_id
    changed = {**current, manifest.dt: manifest.manifest_id}
    rows = sum(day.rows_in for head in (current, changed) for day in _days(object_store, catalog_id, head))
    one_of = -(-rows // sampled_ids) if rows else 1
    now = _ids(object_store, catalog_id, current, one_of=one_of)
    items = len(now)
    now.difference_update(_ids(object_store, catalog_id, changed, one_of=one_of))
    return Removal(len(now) * one_of, items * one_of, examples=tuple(sorted(now)[:_EXAMPLES]), one_of=one_of)


def _ids(object_store: ObjectStore, catalog_id: str, manifests: Mapping[str, str], *, one_of: int) -> set[str]:
    only = None if one_of == 1 else lambda item_id: zlib.crc32(item_id.encode()) % one_of == 0
    reader = HeadReader(object_store, catalog_id=catalog_id, manifests=manifests, only=only)
    return {name for batch in reader.batches(["item_id"]) for name in batch.column("item_id").to_pylist()}
