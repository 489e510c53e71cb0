"""A release opened on this machine, to look into it before anybody serves it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitrine.contracts.document import StoredFile
from vitrine.contracts.releases import IndexVersion, ItemTable, Release
from vitrine.errors import ObjectMissingError, ReleaseError
from vitrine.item_table.table import ItemTable as OpenedItemTable
from vitrine.storage import ObjectStore, keys
from vitrine.vector_index import VectorIndex


@dataclass(frozen=True)
class LocalRelease:
    """A release with its index and its item table."""

    release: Release
    index_version: IndexVersion
    item_table: ItemTable
    index: VectorIndex
    items: OpenedItemTable


def read_release_parts(
    object_store: ObjectStore, catalog_id: str, release_id: str
) -> tuple[Release, IndexVersion, ItemTable]:
    """Reads a release and the manifests that it names.

    Raises:
        ReleaseError: the release, its index version or its item table does not exist.
    """
    try:
        release = Release.from_bytes(object_store.get_bytes(keys.release(catalog_id, release_id)))
        index_key = f"{keys.index_prefix(catalog_id, release.index_version)}/manifest.json"
        index_version = IndexVersion.from_bytes(object_store.get_bytes(index_key))
        table_key = f"{keys.item_table_prefix(catalog_id, release.item_table_id)}/manifest.json"
        item_table = ItemTable.from_bytes(object_store.get_bytes(table_key))
    except ObjectMissingError as error:
        raise ReleaseError(f"catalog {catalog_id}: release {release_id} is not complete: {error}") from error
    return release, index_version, item_table


def open_release(object_store: ObjectStore, catalog_id: str, release_id: str, *, folder: Path) -> LocalRelease:
    """Downloads a release's index and item table into `folder`, checked by SHA-256, and opens them.

    Raises:
        ReleaseError: the release is not complete.
        ObjectCorruptError: a file differs from its recorded SHA-256.
    """
    release, index_version, item_table = read_release_parts(object_store, catalog_id, release_id)
    index_folder, items_folder = folder / release_id / "index", folder / release_id / "items"
    index_files = tuple(file for file in index_version.files if not file.name.startswith("rows/"))
    _download(object_store, keys.index_prefix(catalog_id, release.index_version), index_files, index_folder)
    items_prefix = keys.item_table_files_prefix(catalog_id, release.item_table_id, attempt_id=item_table.attempt_id)
    _download(object_store, items_prefix, item_table.files, items_folder)
    return LocalRelease(
        release=release,
        index_version=index_version,
        item_table=item_table,
        index=VectorIndex.open(index_folder, index_version),
        items=OpenedItemTable.open(items_folder, item_table),
    )


def _download(object_store: ObjectStore, prefix: str, files: tuple[StoredFile, ...], folder: Path) -> None:
    for file in files:
        object_store.get_file(f"{prefix}/{file.name}", folder / file.name, sha256=file.sha256)
