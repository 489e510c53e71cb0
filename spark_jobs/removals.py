"""What publishing a manifest would take out of the head: gated before anything of it is embedded, unless it is meant.

It is gated once more when it is published, if the head has moved since.
The head of the days up to this one, as it is, is compared with what it would be. A full delivery removes what it omits,
a daily one what it deletes, and one that replaces the day's earlier delivery what only that one had brought.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from vitrine.contracts.datasets import Manifest
from vitrine.errors import GateError
from vitrine.heads import HeadReader, accepted_ids, read_manifest, rejected_ids
from vitrine.identity import attempt_id
from vitrine.ledger import Ledger
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
    settings: Settings, object_store: ObjectStore, ledger: Ledger, manifest: Manifest, *, limit: float
) -> Removal:
    """Judges what a manifest would take out of the head of its day, and records the check.

    Raises:
        GateError: it is a larger share than `limit`, and nobody said that it is meant.
    """
    catalog_id, dt = manifest.catalog_id, manifest.dt
    removal = removal_of(object_store, manifest, current=ledger.partitions.head(catalog_id).manifests, limit=limit)
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
        f"head of its day: {removal.share:.1%}{counted} (limit {limit:.1%}, `max_removed_share`), such as "
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
    earlier = {dt: manifest_id for dt, manifest_id in current.items() if dt < manifest.dt}
    replaced = None
    if (standing := current.get(manifest.dt)) is not None:
        if standing == manifest.manifest_id:
            return Removal(0, manifest.rows_accepted)
        replaced = read_manifest(object_store, manifest.catalog_id, manifest.dt, standing)
    if replaced is None and not earlier:
        return Removal(0, 0)
    history = _Days(object_store, manifest.catalog_id, earlier)
    if not manifest.full:
        most = manifest.rows_deleted + (_alive(replaced) if replaced is not None else 0)
        least = _least_items(history, replaced, enough=most / limit if limit else float("inf"))
        if most <= limit * least:
            return Removal(most, least)
    return _compared(object_store, manifest, replaced, history, sampled_ids=sampled_ids)


def say_removal_is_meant(
    ledger: Ledger, *, catalog_id: str, dt: str, delivery_id: str, said_by: Mapping[str, str]
) -> None:
    """Notes that what a delivery removes is meant: for good, so that redoing the day asks nobody again."""
    key = _meant_key(catalog_id, dt, delivery_id)
    ledger.attempts.commit(scope=_MEANT_SCOPE, key=key, attempt_id=attempt_id(), result=dict(said_by))


def _meant_key(catalog_id: str, dt: str, delivery_id: str) -> str:
    return f"{catalog_id}/{dt}/{delivery_id}"


class _Days:
    """Manifests of days, newest first, as far back as they decide about the head."""

    def __init__(self, object_store: ObjectStore, catalog_id: str, manifests: Mapping[str, str]) -> None:
        self.manifests = dict(manifests)
        self._object_store, self._catalog_id = object_store, catalog_id

    def __iter__(self) -> Iterator[Manifest]:
        for dt in sorted(self.manifests, reverse=True):
            manifest = read_manifest(self._object_store, self._catalog_id, dt, self.manifests[dt])
            yield manifest
            if manifest.full:
                return


def _alive(manifest: Manifest) -> int:
    return manifest.rows_accepted - manifest.rows_deleted


def _least_items(days: _Days, replaced: Manifest | None, *, enough: float) -> int:
    """Returns how many items the head has at least: what a day brought, less all deletions since; stops at `enough`."""
    least = deleted = 0
    for manifest in chain([] if replaced is None else [replaced], days):
        least = max(least, _alive(manifest) - deleted)
        if least >= enough or manifest.full:
            break
        deleted += manifest.rows_deleted
    return least


def _compared(
    object_store: ObjectStore, manifest: Manifest, replaced: Manifest | None, days: _Days, *, sampled_ids: int
) -> Removal:
    rows = manifest.rows_in + (replaced.rows_in if replaced is not None else 0) + sum(day.rows_in for day in days)
    one_of = -(-rows // sampled_ids) if rows else 1
    only = _sampled(one_of)
    reader = HeadReader(object_store, catalog_id=manifest.catalog_id, manifests=days.manifests, only=only)
    before = {name for batch in reader.batches(["item_id"]) for name in batch.column("item_id").to_pylist()}
    then = _after(object_store, before, manifest, only)
    now = before if replaced is None else _after(object_store, before, replaced, only)
    gone = now - then
    examples = tuple(sorted(gone)[:_EXAMPLES])
    return Removal(len(gone) * one_of, len(now) * one_of, examples=examples, one_of=one_of)


def _sampled(one_of: int) -> Callable[[str], bool] | None:
    return None if one_of == 1 else lambda item_id: zlib.crc32(item_id.encode()) % one_of == 0


def _after(
    object_store: ObjectStore, before: set[str], manifest: Manifest, only: Callable[[str], bool] | None
) -> set[str]:
    """Returns the ids of a head once another day stands on top of it; see `vitrine.heads`."""
    alive: set[str] = set()
    deleted: set[str] = set()
    for name, is_deleted in accepted_ids(object_store, manifest, only=only):
        (deleted if is_deleted else alive).add(name)
    kept = before & rejected_ids(object_store, manifest, only=only) if manifest.full else before
    return (kept - deleted) | alive
