"""What earlier days cost a day: `python -m benchmarks.long_history --days 1000`.

Leaves what profiles of many days leave (a pack listing each, the pack index, their attempts), and profiles a day of new
and of known pictures after 0, 10, 100, … of them. Prints how many requests to the object store, bytes and seconds the
look-up of the day's pictures takes, beside one that reads every listing ever written. Servers and files are temporary.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import pyarrow as pa

from benchmarks.temporary_platform import temporary_platform
from spark_jobs.profiling.candidate_batches import packed_schema
from spark_jobs.profiling.packs.index import extend_pack_index, read_pack_index
from spark_jobs.profiling.packs.listings import Listing, put_listing, read_listing
from vitrine.connections import open_ledger, open_object_store
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

CATALOG = "bench"


def main() -> int:
    """Prints a line for each length of the history; returns 1 when the last one takes more than its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=1_000, help="of history (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=300, help="of an earlier day (default: %(default)s)")
    parser.add_argument("--sought", type=int, default=300, help="pictures of the day (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=3.0, help="requests, as a multiple of those after 10 days")
    options = parser.parse_args()
    with temporary_platform(2) as settings:
        return run(settings, days=options.days, rows=options.rows, sought=options.sought, limit=options.limit)


def run(settings: Settings, *, days: int, rows: int, sought: int, limit: float) -> int:
    """Grows the history tenfold at a time and looks a day up after each."""
    store = open_object_store(settings)
    every: list[Listing] = []
    after_ten = asked = 0
    with closing(open_ledger(settings)) as ledger:
        for length in (*(10**power for power in range(1, 10) if 10**power < days), days):
            while len(every) < length:
                day = len(every)
                table = _locations(range(day * rows, (day + 1) * rows))
                every.append(put_listing(store, table, prefix=f"{CATALOG}/pack_listings/{day}"))
                extend_pack_index(ledger, store, CATALOG, added=every[-1:])
            half = sought // 2  # of the day is new, and half came before, on many days
            step = max(1, length * rows // half)
            hashes = sorted(map(_hash, [*range(0, length * rows, step)[:half], *range(-half, 0)]))
            began = time.monotonic()
            with _counted() as requests:
                standing = read_pack_index(ledger, store, CATALOG)
                found = _look_up(store, standing, hashes)
            seconds, asked = time.monotonic() - began, len(requests)
            began = time.monotonic()
            with _counted() as all_requests:
                also = _look_up(store, every, hashes)
            if found != also:
                raise SystemExit(f"the index found {len(found)} images, all listings {len(also)}")
            after_ten = after_ten or asked
            print(
                f"after {length:,} days of {rows:,}: {len(standing)} listings, {asked} requests, "
                f"{sum(requests) / 1e6:.1f} MB, {seconds:.2f} s; every listing: {len(every):,} listings, "
                f"{len(all_requests):,} requests, {sum(all_requests) / 1e6:.1f} MB, {time.monotonic() - began:.2f} s",
                flush=True,
            )
    print(f"requests after {days:,} days: {asked / after_ten:.1f} times those after 10 (limit {limit:g})")
    return int(asked > limit * after_ten)


def _look_up(store: ObjectStore, listings: Sequence[Listing], sought: Sequence[str]) -> set[str]:
    met = [listing for listing in listings if listing.may_hold(sought)]
    batches = [batch for listing in met for batch in read_listing(store, listing.key, sought=sought)]
    return set(pa.Table.from_batches(batches, packed_schema()).column("image_sha256").to_pylist())


def _locations(numbers: range) -> pa.Table:
    rows: list[dict[str, Any]] = [
        {"image_sha256": _hash(n), "pack_id": f"pack-{n // 300:020d}", "image_offset": n, "row_group": 0}
        for n in numbers
    ]
    return pa.Table.from_pylist(rows, packed_schema())


def _hash(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


@contextmanager
def _counted() -> Iterator[list[int]]:
    """Yields the sizes of what is read inside the block, one for each request."""
    read: list[int] = []
    original = ObjectStore.get_bytes

    def get_bytes(self: ObjectStore, key: str, **options: Any) -> bytes:
        data = original(self, key, **options)
        read.append(len(data))
        return data

    ObjectStore.get_bytes = get_bytes  # type: ignore[method-assign]
    try:
        yield read
    finally:
        ObjectStore.get_bytes = original  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.exit(main())
