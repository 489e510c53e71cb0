"""The pack index: the listings that together tell where all images of a catalog lie.

Each profile adds what it packed, and merges listings of about one size once there are several: a day reads a few
listings, whatever the days before it, and each location is written again only when listings have grown fourfold.
The index stands in the ledger's attempts (scope `pack_index`, key: the catalog) and is replaced as a whole.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from spark_jobs.candidate_batches import packed_schema
from spark_jobs.pack_listings import Listing, put_listing, read_listing
from vitrine.identity import attempt_id
from vitrine.ledger import CommittedAttempt, Ledger
from vitrine.storage import ObjectStore, keys
from vitrine.storage.object_file import open_parquet

log = logging.getLogger(__name__)

MERGED_AT = 4  # listings of about one size
MERGED_ROWS = 1_000_000  # of a merged listing at most: 130 MB while it is sorted
_SCOPE, _PROFILES = "pack_index", "profile"


def read_pack_index(ledger: Ledger, store: ObjectStore, catalog_id: str) -> list[Listing]:
    """Returns the listings that hold all locations of a catalog."""
    standing = ledger.attempts.committed(scope=_SCOPE, key=catalog_id)
    return _listed_before(ledger, store, catalog_id) if standing is None else _listings(standing)


def extend_pack_index(ledger: Ledger, store: ObjectStore, catalog_id: str, *, added: Sequence[Listing]) -> None:
    """Adds listings to a catalog's index; several profiles at once each add theirs, at worst twice.

    A profile that is killed after this has packed its images all the same: the next attempt finds them.
    """
    if not added:
        return
    while True:
        standing = ledger.attempts.committed(scope=_SCOPE, key=catalog_id)
        before = _listed_before(ledger, store, catalog_id) if standing is None else _listings(standing)
        found = list({listing.key: listing for listing in [*before, *added]}.values())
        merged = merge_listings(store, found, catalog_id=catalog_id)
        attempt = attempt_id()
        result: dict[str, Any] = {"listings": [[listing.key, listing.rows] for listing in merged]}
        extended = (
            ledger.attempts.commit(scope=_SCOPE, key=catalog_id, attempt_id=attempt, result=result)
            if standing is None
            else ledger.attempts.replace(
                scope=_SCOPE, key=catalog_id, replaced=standing.attempt_id, attempt_id=attempt, result=result
            )
        )
        if extended.attempt_id == attempt:
            return
        log.info("pack index of %s: another profile has extended it meanwhile; adding to that", catalog_id)


def merge_listings(store: ObjectStore, listings: Sequence[Listing], *, catalog_id: str) -> list[Listing]:
    """Returns listings with those of about one size merged, as long as there are `MERGED_AT` of a size."""
    standing = sorted(listings, key=lambda listing: (listing.rows, listing.key))
    while (group := _to_merge(standing)) is not None:
        batches = [batch for listing in group for batch in read_listing(store, listing.key)]
        merged = put_listing(
            store,
            pa.Table.from_batches(batches, packed_schema()),
            prefix=keys.pack_listing_prefix(catalog_id, attempt_id="merged"),
        )
        log.info("pack index of %s: %d listings are one of %d images", catalog_id, len(group), merged.rows)
        standing = [listing for listing in standing if listing not in group]
        standing = sorted([*standing, merged], key=lambda listing: (listing.rows, listing.key))
    return standing


def _to_merge(listings: Sequence[Listing]) -> list[Listing] | None:
    """Returns `MERGED_AT` listings of one power of `MERGED_AT`, the smallest first, that are not too many images."""
    by_size: dict[int, list[Listing]] = {}
    for listing in listings:
        group = by_size.setdefault(int(math.log(max(1, listing.rows), MERGED_AT)), [])
        group.append(listing)
        if len(group) == MERGED_AT and sum(one.rows for one in group) <= MERGED_ROWS:
            return group
    return None


def _listings(standing: CommittedAttempt) -> list[Listing]:
    return [Listing(key, rows) for key, rows in standing.result["listings"]]


def _listed_before(ledger: Ledger, store: ObjectStore, catalog_id: str) -> list[Listing]:
    """What the profiles tell that were committed before there was an index."""
    before = ledger.attempts.committed_below(scope=_PROFILES, key_prefix=f"{catalog_id}/")
    found = [
        key
        for attempt in before.values()
        # A profile from before there were listings has its candidate rows, which say the same and more.
        for key in attempt.result.get("listings", [part["key"] for part in attempt.result["parts"]])
    ]
    return [Listing(key, _rows(store, key)) for key in found]


def _rows(store: ObjectStore, key: str) -> int:
    with open_parquet(store, key) as listing:
        return int(listing.metadata.num_rows)
