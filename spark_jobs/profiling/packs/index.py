"""The pack index: the listings that together tell where all images of a catalog lie.

It is a log-structured merge tree. What one profile packed is a run; runs of about one size are merged into a larger
one, which is cut by ranges of the hashes into listings (O'Neil et al., The log-structured merge-tree, 1996). A day's
few hashes meet few listings of each run, and in those few row groups: what is read grows with the day, and with the
logarithm of the days before it. The index stands in the ledger's attempts (scope `pack_index`, key: the catalog) and is
replaced as a whole.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

import pyarrow as pa

from spark_jobs.profiling.candidate_batches import packed_schema
from spark_jobs.profiling.packs.listings import Listing, put_listing, read_range
from vitrine.identity import attempt_id
from vitrine.ledger import CommittedAttempt, Ledger
from vitrine.storage import ObjectStore, keys
from vitrine.storage.object_file import open_parquet

log = logging.getLogger(__name__)

Run = tuple[Listing, ...]
"""Listings of different ranges of hashes, or one that may hold any."""

MERGED_AT = 4  # runs of about one size
MERGED_ROWS = 16_000_000  # of a run at most: merging takes some two minutes, once for as many new images
SHARD_ROWS = 1_000_000  # of a listing of a merged run: 130 MB while it is sorted
_SCOPE, _PROFILES = "pack_index", "profile"
_PREFIXES = 1 << 32  # by the first eight digits a run is cut


def read_pack_index(ledger: Ledger, store: ObjectStore, catalog_id: str) -> list[Listing]:
    """Returns the listings that hold all locations of a catalog; the first call begins its index."""
    return list(chain.from_iterable(_runs(_standing(ledger, store, catalog_id))))


def extend_pack_index(ledger: Ledger, store: ObjectStore, catalog_id: str, *, added: Sequence[Listing]) -> None:
    """Adds listings to a catalog's index; several profiles at once each add theirs, at worst twice.

    A profile that is killed after this has packed its images all the same: the next attempt finds them.
    """
    if not added:
        return
    while True:
        standing = _standing(ledger, store, catalog_id)
        before = _runs(standing)
        known = {listing.key for run in before for listing in run}
        new: list[Run] = [(listing,) for listing in added if listing.key not in known]
        runs = merge_runs(store, [*before, *new], catalog_id=catalog_id)
        attempt = attempt_id()
        extended = ledger.attempts.replace(
            scope=_SCOPE, key=catalog_id, replaced=standing.attempt_id, attempt_id=attempt, result=_result(runs)
        )
        if extended.attempt_id == attempt:
            return
        log.info("pack index of %s: another profile has extended it meanwhile; adding to that", catalog_id)


def merge_runs(store: ObjectStore, runs: Sequence[Run], *, catalog_id: str) -> list[Run]:
    """Returns runs with those of about one size merged, as long as there are `MERGED_AT` of a size."""
    standing = sorted(runs, key=_rows)
    while (group := _to_merge(standing)) is not None:
        merged = _merged(store, group, prefix=keys.pack_listing_prefix(catalog_id, attempt_id="merged"))
        log.info("pack index of %s: %d runs are one of %d images", catalog_id, len(group), _rows(merged))
        rest = [run for run in standing if run not in group]
        standing = sorted([*rest, merged] if merged else rest, key=_rows)
    return standing


def _to_merge(runs: Sequence[Run]) -> list[Run] | None:
    """Returns `MERGED_AT` runs of one power of `MERGED_AT`, the smallest first, that are not too many images."""
    by_size: dict[int, list[Run]] = {}
    for run in runs:
        group = by_size.setdefault(int(math.log(max(1, _rows(run)), MERGED_AT)), [])
        group.append(run)
        if len(group) == MERGED_AT and sum(map(_rows, group)) <= MERGED_ROWS:
            return group
    return None


def _merged(store: ObjectStore, runs: Sequence[Run], *, prefix: str) -> Run:
    shards = -(-sum(map(_rows, runs)) // SHARD_ROWS)
    bounds = ["", *(f"{number * _PREFIXES // shards:08x}" for number in range(1, shards)), "g"]
    merged = []
    for first, end in pairwise(bounds):
        met = [listing for run in runs for listing in run if listing.first < end and listing.last >= first]
        batches = [batch for listing in met for batch in read_range(store, listing.key, first=first, end=end)]
        table = pa.Table.from_batches(batches, packed_schema())
        if table.num_rows:
            merged.append(put_listing(store, table, prefix=prefix))
    return tuple(merged)


def _rows(run: Run) -> int:
    return sum(listing.rows for listing in run)


def _result(runs: Sequence[Run]) -> dict[str, Any]:
    return {"runs": [[[one.key, one.rows, one.first, one.last] for one in run] for run in runs]}


def _runs(standing: CommittedAttempt) -> list[Run]:
    return [tuple(Listing(*fields) for fields in run) for run in standing.result["runs"]]


def _standing(ledger: Ledger, store: ObjectStore, catalog_id: str) -> CommittedAttempt:
    standing = ledger.attempts.committed(scope=_SCOPE, key=catalog_id)
    if standing is not None:
        return standing
    runs: list[Run] = [(listing,) for listing in _listed_before(ledger, store, catalog_id)]
    return ledger.attempts.commit(
        scope=_SCOPE,
        key=catalog_id,
        attempt_id=attempt_id(),
        result=_result(merge_runs(store, runs, catalog_id=catalog_id)),
    )


def _listed_before(ledger: Ledger, store: ObjectStore, catalog_id: str) -> list[Listing]:
    """What the profiles tell that were committed before there was an index."""
    before = ledger.attempts.committed_below(scope=_PROFILES, key_prefix=f"{catalog_id}/")
    found = [
        key
        for attempt in before.values()
        # A profile from before there were listings has its candidate rows, which say the same and more.
        for key in attempt.result.get("listings", [part["key"] for part in attempt.result["parts"]])
    ]
    return [Listing(key, _rows_in(store, key)) for key in found]


def _rows_in(store: ObjectStore, key: str) -> int:
    with open_parquet(store, key) as listing:
        return int(listing.metadata.num_rows)
