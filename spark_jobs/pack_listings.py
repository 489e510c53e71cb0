"""Pack listings: where the images lie that one profile packed, for later profiles to find them by their SHA-256.

All listings together hold each packed image once, however often it was delivered since, and also when no current
manifest names it any more: what comes back is found in its pack, and with it the vector that was made of it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spark_jobs.candidate_batches import packed_schema
from spark_jobs.image_fetching import executor_store
from spark_jobs.profile_workers import Batches, ProfileTask
from vitrine.identity import sha256_hex
from vitrine.storage.object_file import open_parquet

LISTING_ROWS = 250_000


def listing_schema() -> pa.Schema:
    """One row for each listing that was written."""
    return pa.schema([pa.field("key", pa.string()), pa.field("rows", pa.int64())])


def write_listing(task: ProfileTask, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Locations in; they are written as one listing, and its key comes out."""
    found = list(batches)
    table = pa.Table.from_batches(found, found[0].schema if found else packed_schema())
    if not table.num_rows:
        return
    table = table.select(packed_schema().names).cast(packed_schema()).sort_by("image_sha256")
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd")
    data = stream.getvalue()
    key = f"{task.listings_prefix}/{sha256_hex(data)[:20]}.parquet"
    executor_store(task.settings).put_bytes(key, data)
    yield pa.RecordBatch.from_pylist([{"key": key, "rows": table.num_rows}], listing_schema())


def read_listings(task: ProfileTask, groups: Sequence[Sequence[str]], batches: Batches) -> Iterator[pa.RecordBatch]:
    """Groups of listings by number in, where their images lie out."""
    store = executor_store(task.settings)
    for batch in batches:
        for number in batch.column(0).to_pylist():
            for key in groups[number]:
                with open_parquet(store, key) as listing:
                    for located in listing.iter_batches(columns=packed_schema().names):
                        known = located.filter(pc.is_valid(located.column("pack_id")))
                        if known.num_rows:
                            yield known.select(packed_schema().names)
