"""Deliveries: a day's items, copied as they were delivered, so that redoing the day redoes them and not the source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from spark_jobs.deliveries.folder_images import copy_file, copy_images, hash_images
from spark_jobs.deliveries.image_fetching import ImageFetcher
from spark_jobs.deliveries.image_listing import ImageListing, image_listing, write_marks
from spark_jobs.deliveries.prefix_images import mark_elsewhere, mark_images, noting_elsewhere
from spark_jobs.removals import say_removal_is_meant
from vitrine.catalogs import Catalog, get_catalog
from vitrine.connections import open_ledger, open_object_store
from vitrine.contracts.datasets import Delivery, PartFile
from vitrine.contracts.document import StoredFile, check_file_name
from vitrine.errors import DeliveryError, ObjectMissingError
from vitrine.files.scratch import scratch_folder
from vitrine.identity import content_id
from vitrine.items.byte_ranges import CHUNK_BYTES, LocalBytes, Unreadable
from vitrine.items.files import plan_splits, read_rows
from vitrine.items.image_uris import ImagePlaces
from vitrine.items.limits import ReadingLimits
from vitrine.items.sources import DeliverySource, SourceFile, open_source
from vitrine.ledger import Ledger
from vitrine.partitions import parse_partition_key
from vitrine.progress import progress
from vitrine.provenance import describe_run, put_provenance
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys
from vitrine.storage.object_store import file_sha256
from vitrine.write_once import put_once

DELIVERY_FILE = "delivery.json"


def record_delivery(
    settings: Settings,
    *,
    catalog_id: str,
    dt: str,
    source: str | None = None,
    full: bool | None = None,
    removal_is_meant: bool = False,
    provenance: Mapping[str, str] | None = None,
) -> str:
    """Makes a source's content the current delivery of a day and returns its id.

    Without a source the day's recorded delivery is the one; where none was recorded, the catalog's declared source is
    taken. The same content is the same delivery, and is not written again.

    Args:
        settings: of the platform.
        catalog_id: a declared catalog.
        dt: the day.
        source: a folder, an items file, or an `s3://` prefix or object.
        full: whether the delivery removes what it omits; None leaves that to the source, which says so by a file
            `_full` or by `full: true` in `delivery.yaml`.
        removal_is_meant: what the delivery takes out of the head is meant, however much that is; the source may say so
            by a file `_removal_is_meant` or by `removal_is_meant: true` in `delivery.yaml`. Once said, it holds.
        provenance: `dag_id` and `dag_run_id` of the run that asks.

    Raises:
        DeliveryError: there is no delivery, or it cannot be read.
        CatalogError: the catalog is not declared.
    """
    dt = parse_partition_key(dt)
    catalog = get_catalog(settings.catalogs_file, catalog_id)
    store, ledger = open_object_store(settings), open_ledger(settings)
    try:
        recorded = None
        if source is None:
            recorded = _recorded(store, ledger, catalog_id=catalog_id, dt=dt, full=full)
        if recorded is not None:
            delivery_id = recorded
        else:
            opened = _opened(_declared_source(catalog, dt=dt) if source is None else source, store)
            delivery = _copy(settings, store, ledger, opened, catalog=catalog, dt=dt, full=full, provenance=provenance)
            delivery_id = delivery.delivery_id
            removal_is_meant |= bool(opened.says.removal_is_meant)
            ledger.partitions.record_delivery(
                catalog_id=catalog_id, dt=dt, delivery_id=delivery_id, source=delivery.source
            )
        if removal_is_meant:
            say_removal_is_meant(
                ledger, catalog_id=catalog_id, dt=dt, delivery_id=delivery_id, said_by=provenance or {}
            )
        return delivery_id
    finally:
        ledger.close()


def read_delivery(store: ObjectStore, *, catalog_id: str, dt: str, delivery_id: str) -> Delivery:
    """Reads a recorded delivery.

    Raises:
        DeliveryError: it was never written whole.
    """
    key = f"{keys.delivery_prefix(catalog_id, dt, delivery_id)}/{DELIVERY_FILE}"
    try:
        return Delivery.from_bytes(store.get_bytes(key))
    except ObjectMissingError as error:
        raise DeliveryError(
            f"catalog {catalog_id} has no delivery {delivery_id} for {dt}: s3://{store.bucket}/{key} does not exist; "
            "record the delivery first"
        ) from error


def _recorded(store: ObjectStore, ledger: Ledger, *, catalog_id: str, dt: str, full: bool | None) -> str | None:
    current = ledger.partitions.current_delivery(catalog_id=catalog_id, dt=dt)
    if current is None:
        return None
    delivery = read_delivery(store, catalog_id=catalog_id, dt=dt, delivery_id=current.delivery_id)
    if full is not None and full != delivery.full:
        raise DeliveryError(
            f"catalog {catalog_id}, {dt}: the recorded delivery {delivery.delivery_id} has full={delivery.full}, and "
            f"full={full} was asked for without a source; name the source again to record another delivery"
        )
    return delivery.delivery_id


def _opened(source: str, store: ObjectStore) -> DeliverySource:
    opened = open_source(source, store)
    if opened.images_base == f"s3://{store.bucket}/":
        raise DeliveryError(
            f"{source}: a delivery cannot lie at the root of the platform's own bucket, below which every catalog "
            "lies; move it under a prefix"
        )
    return opened


def _declared_source(catalog: Catalog, *, dt: str) -> str:
    if catalog.source is None:
        raise DeliveryError(
            f"catalog {catalog.catalog_id} has no delivery for {dt}: none was recorded, and the catalog declares no "
            "`source`; name a folder or an s3:// prefix"
        )
    return catalog.source.replace("{dt}", dt)


@dataclass(frozen=True)
class _Copied:
    """An items file on this machine, with what it hashes to."""

    path: Path
    stored: StoredFile


def _copy(
    settings: Settings,
    store: ObjectStore,
    ledger: Ledger,
    opened: DeliverySource,
    *,
    catalog: Catalog,
    dt: str,
    full: bool | None,
    provenance: Mapping[str, str] | None,
) -> Delivery:
    catalog_id, limits, threads = catalog.catalog_id, ReadingLimits.of(settings), settings.fetch_threads
    with ExitStack() as stack:
        scratch = stack.enter_context(scratch_folder(settings, "delivery"))
        files = [_hashed(file, scratch / f"{number:06d}", limits=limits) for number, file in enumerate(opened.files)]
        listing = stack.enter_context(image_listing(scratch / "images.sqlite"))
        elsewhere = stack.enter_context(image_listing(scratch / "elsewhere.sqlite"))
        places = ImagePlaces(
            # A folder's images are copied below its id, which no row can know.
            base=opened.images_base or f"s3://{store.bucket}/{keys.delivery_prefix(catalog_id, dt, '-')}/",
            buckets=catalog.image_buckets,
            platform_bucket=settings.bucket,
        )
        uris = noting_elsewhere(_image_uris(files, limits), elsewhere, places=places)
        _list_images(listing, opened, store, uris, threads=threads, label=f"{catalog_id} {dt}")
        with progress(f"delivery {catalog_id} {dt}: images elsewhere") as advance:
            mark_elsewhere(elsewhere, ImageFetcher(store), threads=threads, advance=advance)
        whole = full if full is not None else bool(opened.says.full)
        identity = {
            "catalog_id": catalog_id,
            "dt": dt,
            "full": whole,
            "files": [file.stored.model_dump() for file in files],
            "images": _images_identity(opened, listing, elsewhere),
        }
        delivery_id = content_id("delivery", identity)
        prefix = keys.delivery_prefix(catalog_id, dt, delivery_id)
        marks = _written_marks(opened, listing, elsewhere, scratch / "image_marks.parquet", prefix=prefix)
        delivery = Delivery(
            delivery_id=delivery_id,
            catalog_id=catalog_id,
            dt=dt,
            full=whole,
            source=opened.source,
            files=tuple(file.stored for file in files),
            images_base=opened.images_base or f"s3://{store.bucket}/{prefix}/images/",
            image_marks=marks.stored if marks is not None else None,
        )
        if store.exists(f"{prefix}/{DELIVERY_FILE}"):
            return read_delivery(store, catalog_id=catalog_id, dt=dt, delivery_id=delivery_id)
        for file in files:
            copy_file(store, f"{prefix}/items/{file.stored.name}", file.path, sha256=file.stored.sha256)
        if opened.folder is not None:
            with progress(f"delivery {catalog_id} {dt}: images copied", total=len(listing)) as advance:
                copy_images(listing, opened.folder, store, prefix=f"{prefix}/images", threads=threads, advance=advance)
        if marks is not None:
            copy_file(store, marks.stored.key, marks.path, sha256=marks.stored.sha256)
        put_provenance(store, ledger, prefix, describe_run(provenance))
        # Where it came from stands in it and in no id.
        return Delivery.from_bytes(put_once(store, ledger, f"{prefix}/{DELIVERY_FILE}", delivery.to_bytes()))


def _hashed(file: SourceFile, scratch: Path, *, limits: ReadingLimits) -> _Copied:
    """Hashes an items file, and brings one that lies in an object store to this machine."""
    try:
        check_file_name(file.name)
    except ValueError as error:
        raise DeliveryError(f"items file: {error}; rename it") from error
    if isinstance(file.content, LocalBytes):
        path = file.content.path
    else:
        path, position = scratch, 0
        with scratch.open("wb") as stream:
            while chunk := file.content.read(position, CHUNK_BYTES):
                stream.write(chunk)
                position += len(chunk)
    stored = StoredFile(name=file.name, size_bytes=path.stat().st_size, sha256=file_sha256(path))
    # A Parquet file without a footer has no rows that could be judged: it is refused here, before anything is recorded.
    plan_splits(LocalBytes(path), name=file.name, file_number=0, limits=limits)
    return _Copied(path, stored)


def _list_images(
    listing: ImageListing,
    opened: DeliverySource,
    store: ObjectStore,
    uris: Iterator[str],
    *,
    threads: int,
    label: str,
) -> None:
    with progress(f"delivery {label}: rows whose images are looked up") as advance:
        if opened.folder is not None:
            hash_images(listing, opened.folder.resolve(), uris, threads=threads, advance=advance)
        elif opened.images_base is not None:
            mark_images(listing, store, images_base=opened.images_base, uris=uris, threads=threads, advance=advance)


def _images_identity(opened: DeliverySource, listing: ImageListing, elsewhere: ImageListing) -> str | list[str]:
    """What the images add to the delivery's id: their marks, and the prefix below which they stay."""
    if not elsewhere.is_empty():
        return [opened.images_base or "", listing.digest(), elsewhere.digest()]
    return listing.digest() if opened.images_base is None else [opened.images_base, listing.digest()]


@dataclass(frozen=True)
class _Marks:
    """A file of marks on this machine, and what it will be in the store."""

    path: Path
    stored: PartFile


def _written_marks(
    opened: DeliverySource, listing: ImageListing, elsewhere: ImageListing, path: Path, *, prefix: str
) -> _Marks | None:
    """Writes the marks of all images that are not copied."""
    below = (
        () if opened.images_base is None else ((opened.images_base + name, mark) for name, mark in listing.entries())
    )
    rows = write_marks(chain(below, elsewhere.entries()), path)
    if not rows:
        return None
    sha256 = file_sha256(path)
    return _Marks(path, PartFile(key=f"{prefix}/image_marks/{sha256}.parquet", rows=rows, sha256=sha256))


def _image_uris(files: Sequence[_Copied], limits: ReadingLimits) -> Iterator[str]:
    """Yields the image URIs of all rows that can be read.

    Raises:
        DeliveryError: there are more rows than a delivery may have, or a footer claims so.
    """
    rows = 0
    for file in files:
        content = LocalBytes(file.path)
        for split in plan_splits(content, name=file.stored.name, file_number=0, limits=limits):
            _check_rows(rows + (split.rows or 0), file, limits)
            for row in read_rows(content, split, limits=limits, columns=["image_uri"]):
                rows += 1
                _check_rows(rows, file, limits)
                if not isinstance(row, Unreadable) and isinstance(uri := row.values.get("image_uri"), str):
                    yield uri


def _check_rows(rows: int, file: _Copied, limits: ReadingLimits) -> None:
    if rows > limits.items_max_rows:
        raise DeliveryError(
            f"{file.stored.name}: expected at most {limits.items_max_rows:,} rows in the delivery "
            f"(VITRINE_ITEMS_MAX_ROWS), found {rows:,} so far; deliver less, or raise the setting"
        )
