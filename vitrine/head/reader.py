"""The head: what a catalog holds after all its partitions.

Read from the newest day to the oldest. The newest row of an `item_id` wins; `deleted=true` removes; a `full` delivery
also removes what it omits. A row that was rejected changes nothing: the item stays as the days before left it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from vitrine.contracts.datasets import Manifest, PartFile
from vitrine.contracts.items import manifest_items_schema
from vitrine.errors import ContractError
from vitrine.storage import ObjectStore, keys
from vitrine.storage.object_file import open_parquet

if TYPE_CHECKING:
    import pyarrow as pa

Unit = tuple[str, int]
"""A unit of embedding: `(source_id, row_group)`."""

BATCH_ROWS = 16_384


def external_fingerprint(catalog_id: str, dimension: int) -> str:
    """Returns the name of the embedding space of a catalog that brings its own vectors."""
    return f"external-{catalog_id}-{dimension}"


def manifest_key(catalog_id: str, dt: str, manifest_id: str) -> str:
    """Returns the key of `manifest.json`; a manifest whose key exists is complete."""
    return f"{keys.manifest_prefix(catalog_id, dt, manifest_id)}/manifest.json"


def read_manifest(object_store: ObjectStore, catalog_id: str, dt: str, manifest_id: str) -> Manifest:
    """Reads one manifest.

    Raises:
        ObjectMissingError: it was never written.
        ContractError: the object is no manifest, or one of another catalog or day.
    """
    key = manifest_key(catalog_id, dt, manifest_id)
    manifest = Manifest.from_bytes(object_store.get_bytes(key))
    if (manifest.catalog_id, manifest.dt, manifest.manifest_id) != (catalog_id, dt, manifest_id):
        raise ContractError(
            f"s3://{object_store.bucket}/{key}: expected manifest {manifest_id} of {catalog_id} {dt}, found "
            f"{manifest.manifest_id} of {manifest.catalog_id} {manifest.dt}; the object was copied to a wrong key"
        )
    return manifest


def head_manifests(object_store: ObjectStore, catalog_id: str, manifests: Mapping[str, str]) -> Iterator[Manifest]:
    """Yields the manifests of a head, newest day first; each is read when it is asked for.

    Args:
        object_store: where the manifests are.
        catalog_id: whose they are.
        manifests: day to manifest_id, as `ledger.partitions.head(catalog_id).manifests`.

    Raises:
        ObjectMissingError: one was never written.
        ContractError: an object is no manifest, or one of another catalog or day.
    """
    for dt in sorted(manifests, reverse=True):
        yield read_manifest(object_store, catalog_id, dt, manifests[dt])


def manifest_units(object_store: ObjectStore, manifest: Manifest) -> dict[Unit, PartFile]:
    """Returns the distinct units of embedding that a manifest's rows name, each with the first part that names it."""
    import pyarrow as pa

    units: dict[Unit, PartFile] = {}
    for part in manifest.parts:
        for batch in _part_batches(object_store, part, ["source_id", "row_group"]):
            table = pa.Table.from_batches([batch]).group_by(["source_id", "row_group"], use_threads=False)
            for row in table.aggregate([]).to_pylist():
                if row["source_id"] is not None:  # deleted rows have none
                    units.setdefault((row["source_id"], row["row_group"]), part)
    return units


def rejected_ids(
    object_store: ObjectStore, manifest: Manifest, *, only: Callable[[str], bool] | None = None
) -> set[str]:
    """Returns the ids of a manifest's quarantine; with `only`, those that it chooses."""
    found: set[str] = set()
    for part in manifest.quarantine_parts:
        for batch in _part_batches(object_store, part, ["item_id"]):
            names = batch.column("item_id").to_pylist()
            found.update(name for name in names if name is not None and (only is None or only(name)))
    return found


class HeadReader:
    """Reads a head in batches: newest day first, inside a day in order of delivery.

    Holds the ids that are decided while older days may still bring them: the oldest day costs no memory, and of a full
    delivery only what it brought broken counts.

    Args:
        object_store: where the manifests are.
        catalog_id: whose they are.
        manifests: day to manifest_id.
        only: ids that are read; None reads all.
    """

    def __init__(
        self,
        object_store: ObjectStore,
        *,
        catalog_id: str,
        manifests: Mapping[str, str],
        only: Callable[[str], bool] | None = None,
    ) -> None:
        self._object_store = object_store
        self._only = only
        self._catalog_id = catalog_id
        self._manifests = dict(manifests)

    def batches(self, columns: Sequence[str], *, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yields the head's rows with the chosen columns, in the order given.

        Raises:
            ContractError: a column is none of a manifest's.
        """
        _fields(columns)
        decided: set[str] = set()
        kept: set[str] | None = None  # once a full delivery was read: the only ids that older days may still bring
        oldest = min(self._manifests, default=None)
        for manifest in head_manifests(self._object_store, self._catalog_id, self._manifests):
            is_oldest = manifest.dt == oldest
            read = list(dict.fromkeys([*columns, "item_id", "deleted"]))
            older = kept  # the only ids that days before this one may bring
            if manifest.full and not is_oldest:
                rejected = rejected_ids(self._object_store, manifest, only=self._only)
                older = rejected if kept is None else kept & rejected
            for part in manifest.parts:
                for whole in _part_batches(self._object_store, part, read, batch_rows=batch_rows):
                    batch = _chosen(whole, self._only)
                    if (fresh := _undecided(batch, decided, kept)).num_rows:
                        yield fresh.select(list(columns))
                    if not is_oldest:
                        names = batch.column("item_id").to_pylist()
                        decided.update(names if older is None else older.intersection(names))
            kept = older
            if kept is not None and not kept - decided:
                return


def _fields(columns: Sequence[str]) -> list[pa.Field]:
    schema = manifest_items_schema()
    if unknown := [name for name in columns if name not in schema.names]:
        raise ContractError(f"manifests have no columns {unknown}; choose among {schema.names}")
    return [schema.field(name) for name in columns]


def _chosen(batch: pa.RecordBatch, only: Callable[[str], bool] | None) -> pa.RecordBatch:
    import pyarrow as pa

    if only is None:
        return batch
    return batch.filter(pa.array([only(name) for name in batch.column("item_id").to_pylist()], pa.bool_()))


def _undecided(batch: pa.RecordBatch, decided: set[str], kept: set[str] | None) -> pa.RecordBatch:
    import pyarrow as pa

    mask = [
        not deleted and item_id not in decided and (kept is None or item_id in kept)
        for item_id, deleted in zip(
            batch.column("item_id").to_pylist(), batch.column("deleted").to_pylist(), strict=True
        )
    ]
    return batch.filter(pa.array(mask, pa.bool_()))


def _part_batches(
    object_store: ObjectStore, part: PartFile, columns: list[str], *, batch_rows: int = BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    with open_parquet(object_store, part.key) as parquet:
        yield from parquet.iter_batches(batch_size=batch_rows, columns=columns)
