"""Deliveries: a day's items, copied as they were delivered, so that redoing the day redoes them and not the source."""

from __future__ import annotations

from collections.abc import Mapping

from spark_jobs.deliveries.delivery_images import delivery_images
from spark_jobs.deliveries.folder_images import copy_file
from spark_jobs.deliveries.items_files import bring_items_file, image_uris
from spark_jobs.removals import say_removal_is_meant
from vitrine.catalogs import Catalog, get_catalog
from vitrine.connections import open_connections
from vitrine.contracts.datasets import Delivery
from vitrine.errors import DeliveryError, ObjectMissingError
from vitrine.files.scratch import scratch_folder
from vitrine.identity import content_id
from vitrine.items.image_uris import ImagePlaces
from vitrine.items.limits import ReadingLimits
from vitrine.items.sources import DeliverySource, open_source
from vitrine.ledger import Ledger
from vitrine.ledger.partitions import Partitions
from vitrine.partitions import parse_partition_key
from vitrine.provenance import describe_run, put_provenance
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys
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
    with open_connections(settings) as (store, ledger):
        delivery_id = None
        if source is None:
            delivery_id = _recorded(store, ledger.partitions, catalog_id=catalog_id, dt=dt, full=full)
        if delivery_id is None:
            opened = _opened(_declared_source(catalog, dt=dt) if source is None else source, store)
            delivery = _copy(settings, store, ledger, opened, catalog=catalog, dt=dt, full=full, provenance=provenance)
            delivery_id = delivery.delivery_id
            removal_is_meant |= bool(opened.says.removal_is_meant)
            ledger.partitions.record_delivery(
                catalog_id=catalog_id, dt=dt, delivery_id=delivery_id, source=delivery.source
            )
        if removal_is_meant:
            say_removal_is_meant(
                ledger.attempts, catalog_id=catalog_id, dt=dt, delivery_id=delivery_id, said_by=provenance or {}
            )
        return delivery_id


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


def _recorded(store: ObjectStore, partitions: Partitions, *, catalog_id: str, dt: str, full: bool | None) -> str | None:
    current = partitions.current_delivery(catalog_id=catalog_id, dt=dt)
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
    catalog_id, limits = catalog.catalog_id, ReadingLimits.of(settings)
    label, threads = f"delivery {catalog_id} {dt}", settings.fetch_threads
    with (
        scratch_folder(settings, "delivery") as scratch,
        delivery_images(opened, scratch, label=label, threads=threads) as images,
    ):
        files = [
            bring_items_file(file, scratch / f"{number:06d}", limits=limits) for number, file in enumerate(opened.files)
        ]
        places = ImagePlaces(
            # A folder's images are copied below its id, which no row can know.
            base=opened.images_base or f"s3://{store.bucket}/{keys.delivery_prefix(catalog_id, dt, '-')}/",
            buckets=catalog.image_buckets,
            platform_bucket=settings.bucket,
        )
        images.look_up(store, image_uris(files, limits), places=places)
        whole = full if full is not None else bool(opened.says.full)
        identity = {
            "catalog_id": catalog_id,
            "dt": dt,
            "full": whole,
            "files": [file.stored.model_dump() for file in files],
            "images": images.identity(),
        }
        delivery_id = content_id("delivery", identity)
        prefix = keys.delivery_prefix(catalog_id, dt, delivery_id)
        if store.exists(f"{prefix}/{DELIVERY_FILE}"):
            return read_delivery(store, catalog_id=catalog_id, dt=dt, delivery_id=delivery_id)
        marks = images.write_marks(scratch / "image_marks.parquet", prefix=prefix)
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
        for file in files:
            copy_file(store, f"{prefix}/items/{file.stored.name}", file.path, sha256=file.stored.sha256)
        images.copy(store, prefix=f"{prefix}/images")
        if marks is not None:
            copy_file(store, marks.stored.key, marks.path, sha256=marks.stored.sha256)
        put_provenance(store, ledger, prefix, describe_run(provenance))
        # Where it came from stands in it and in no id.
        return Delivery.from_bytes(put_once(store, ledger, f"{prefix}/{DELIVERY_FILE}", delivery.to_bytes()))
