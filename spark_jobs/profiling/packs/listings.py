"""Pack listings: where the images lie that profiles packed, for later profiles to find them by their SHA-256.

All listings together hold each packed image, once as a rule, however often it was delivered since, and also when no
current manifest names it any more: what comes back is found in its pack, and with it the vector that was made of it. A
listing is in order of the hashes and in small row groups, so that few images are found in it by reading little.
"""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spark_jobs.deliveries.image_fetching import executor_store
from spark_jobs.profiling.candidate_batches import packed_schema
from spark_jobs.profiling.task import Batches, ProfileTask
from vitrine.identity import sha256_hex
from vitrine.storage import ObjectStore
from vitrine.storage.object_file import open_parquet

LISTING_ROWS = 250_000
GROUP_ROWS = 2_048


@dataclass(frozen=True)
class Listing:
    """One listing.

    Attributes:
        key: of the object.
        rows: how many images it tells of.
        first, last: the least and the greatest hash in it.
    """

    key: str
    rows: int
    first: str = ""
    last: str = "g"  # greater than any hash

    def may_hold(self, sought: Sequence[str]) -> bool:
        """Tells whether one of some hashes, in their order, can be in it."""
        return _meets(sought, self.first, self.last)


def listing_schema() -> pa.Schema:
    """One row for each listing that was written: the fields of `Listing`."""
    names = ("key", "first", "last")
    return pa.schema([*(pa.field(name, pa.string()) for name in names), pa.field("rows", pa.int64())])


def write_listing(task: ProfileTask, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Locations in; they are written as one listing, which comes out."""
    found = list(batches)
    table = pa.Table.from_batches(found, found[0].schema if found else packed_schema())
    if not table.num_rows:
        return
    listing = put_listing(executor_store(task.settings), table, prefix=task.listings_prefix)
    yield pa.RecordBatch.from_pylist([vars(listing)], listing_schema())


def put_listing(store: ObjectStore, locations: pa.Table, *, prefix: str) -> Listing:
    """Writes at least one location as one listing below a prefix, named by its content."""
    table = locations.select(packed_schema().names).cast(packed_schema()).sort_by("image_sha256")
    stream = io.BytesIO()
    # Statistics of the hashes alone: those of the other columns would be most of the footer.
    pq.write_table(table, stream, compression="zstd", row_group_size=GROUP_ROWS, write_statistics=["image_sha256"])
    data = stream.getvalue()
    key = f"{prefix}/{sha256_hex(data)[:20]}.parquet"
    store.put_bytes(key, data)
    hashes = table.column("image_sha256")
    return Listing(key, table.num_rows, hashes[0].as_py(), hashes[-1].as_py())


def read_listings(
    task: ProfileTask, groups: Sequence[Sequence[str]], sought: Sequence[str] | None, batches: Batches
) -> Iterator[pa.RecordBatch]:
    """Groups of listings by number in, where their images lie out.

    Args:
        task: whose store they lie in.
        groups: keys of listings.
        sought: the hashes, in their order, that are looked for; None: all.
        batches: of numbers.
    """
    store = executor_store(task.settings)
    for batch in batches:
        for number in batch.column(0).to_pylist():
            for key in groups[number]:
                yield from read_listing(store, key, sought=sought)


def read_listing(store: ObjectStore, key: str, *, sought: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yields the locations of one listing; of some images, reads only the row groups that may hold them."""
    wanted = None if sought is None else pa.array(sought, pa.string())
    with open_parquet(store, key) as listing:
        groups = [
            group
            for group in range(listing.num_row_groups)
            if sought is None or _meets(sought, *_bounds(listing.metadata.row_group(group)))
        ]
        for located in _known(listing, groups):
            kept = located if wanted is None else located.filter(pc.is_in(located.column("image_sha256"), wanted))
            if kept.num_rows:
                yield kept


def read_range(store: ObjectStore, key: str, *, first: str, end: str) -> Iterator[pa.RecordBatch]:
    """Yields the locations of one listing whose hashes are at least `first` and less than `end`."""
    with open_parquet(store, key) as listing:
        groups = []
        for group in range(listing.num_row_groups):
            least, greatest = _bounds(listing.metadata.row_group(group))
            if least < end and greatest >= first:
                groups.append(group)
        for located in _known(listing, groups):
            hashes = located.column("image_sha256")
            kept = located.filter(pc.and_(pc.greater_equal(hashes, first), pc.less(hashes, end)))
            if kept.num_rows:
                yield kept


def _known(listing: pq.ParquetFile, groups: list[int]) -> Iterator[pa.RecordBatch]:
    if not groups:
        return
    for located in listing.iter_batches(columns=packed_schema().names, row_groups=groups):
        # A profile from before there were listings has its candidate rows instead, some of which have no place.
        yield located.filter(pc.is_valid(located.column("pack_id"))).select(packed_schema().names)


def _bounds(group: pq.RowGroupMetaData) -> tuple[str, str]:
    """Returns the least and the greatest hash of a row group, or what is below and above all."""
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema == "image_sha256" and column.is_stats_set and column.statistics.has_min_max:
            return column.statistics.min, column.statistics.max
    return "", "g"


def _meets(sought: Sequence[str], first: str, last: str) -> bool:
    place = bisect_left(sought, first)
    return place < len(sought) and sought[place] <= last
