"""Lineage: from a search result back to its release, index, vector, manifest, delivery and the DAG runs behind them."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vitrine.connections import open_connections
from vitrine.contracts.datasets import Delivery, EmbeddingBlock, EmbeddingSet, Manifest
from vitrine.contracts.document import Document, Provenance
from vitrine.contracts.releases import IndexVersion, ItemTable, Release
from vitrine.errors import ContractError, ReleaseError
from vitrine.head.embedding_sets import read_embedding_set
from vitrine.head.reader import head_manifests
from vitrine.provenance import read_provenance
from vitrine.releases.local_release import read_release_parts
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys
from vitrine.storage.object_file import open_parquet

if TYPE_CHECKING:
    from rich.tree import Tree

_ITEM_COLUMNS = (
    "item_id",
    "image_uri",
    "title",
    "deleted",
    "image_sha256",
    "pack_id",
    "source_id",
    "row_group",
    "embedding_key",
)


class Lineage(Document):
    """Everything that a search result rests on; each `made_by` is None when its maker left no word."""

    catalog_id: str
    item_id: str
    row: int  # of the index
    embedding_key: str
    image_uri: str | None
    image_sha256: str | None
    pack_id: str | None
    release: Release
    is_live: bool
    activations: tuple[dict[str, Any], ...]
    index_version: IndexVersion
    index_made_by: Provenance | None
    item_table_id: str
    item_table_made_by: Provenance | None
    embedding_set_id: str
    embedding_block: EmbeddingBlock
    dt: str
    manifest: Manifest
    manifest_made_by: Provenance | None
    delivery: Delivery
    delivery_made_by: Provenance | None


def trace(settings: Settings, *, catalog_id: str, item_id: str, release_id: str | None = None) -> Lineage:
    """Follows an item of a release (by default the live one) back to the delivery that brought it.

    Raises:
        ReleaseError: nothing is live and no release was named, or the release is not complete.
        ContractError: the release has no such item.
    """
    with open_connections(settings) as (object_store, ledger):
        live = ledger.releases.live(catalog_id)
        history = ledger.releases.history(catalog_id)
    chosen = release_id or (live.release_id if live else None)
    if chosen is None:
        raise ReleaseError(
            f"catalog {catalog_id} has no live release; look at the catalogs with `make status`, or name a release: "
            "make lineage ITEM=… CATALOG=… RELEASE=…"
        )
    release, index, table = read_release_parts(object_store, catalog_id, chosen)
    row, embedding_key = _find_row(object_store, index, item_id)
    manifest, item = _find_manifest_row(object_store, table, item_id)
    dt = manifest.dt
    embedding_set = read_embedding_set(object_store, catalog_id, release.embedding_set_id)
    delivery_prefix = keys.delivery_prefix(catalog_id, dt, manifest.delivery_id)
    return Lineage(
        catalog_id=catalog_id,
        item_id=item_id,
        row=row,
        embedding_key=embedding_key,
        image_uri=item["image_uri"],
        image_sha256=item["image_sha256"],
        pack_id=item["pack_id"],
        release=release,
        is_live=live is not None and live.release_id == chosen,
        activations=tuple(_plain(entry) for entry in history if entry["release_id"] == chosen),
        index_version=index,
        index_made_by=read_provenance(object_store, keys.index_prefix(catalog_id, index.index_version)),
        item_table_id=table.item_table_id,
        item_table_made_by=read_provenance(object_store, keys.item_table_prefix(catalog_id, table.item_table_id)),
        embedding_set_id=embedding_set.embedding_set_id,
        embedding_block=_find_block(embedding_set, item, item_id),
        dt=dt,
        manifest=manifest,
        manifest_made_by=read_provenance(object_store, keys.manifest_prefix(catalog_id, dt, manifest.manifest_id)),
        delivery=Delivery.from_bytes(object_store.get_bytes(f"{delivery_prefix}/delivery.json")),
        delivery_made_by=read_provenance(object_store, delivery_prefix),
    )


def print_lineage(
    settings: Settings, *, catalog_id: str, item_id: str, release_id: str | None = None, as_json: bool = False
) -> None:
    """Prints the lineage of a search result as a tree, or as JSON.

    Raises:
        ReleaseError: there is no such release.
        ContractError: the release has no such item.
    """
    lineage = trace(settings, catalog_id=catalog_id, item_id=item_id, release_id=release_id)
    if as_json:
        print(json.dumps(lineage.model_dump(mode="json"), indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    # Soft wrap: a line that is too long for the terminal is wrapped by it, not cut, so that ids can be copied whole.
    # A tree is cut at the console's width, soft wrap or not; into a pipe or a file it goes whole.
    width = None if sys.stdout.isatty() else 240
    Console(highlight=False, width=width).print(lineage_tree(lineage), soft_wrap=True)


def lineage_tree(lineage: Lineage) -> Tree:
    """Returns the lineage as a tree for people: what rests on what, and which run made it."""
    from rich.markup import escape
    from rich.tree import Tree

    release, index = lineage.release, lineage.index_version
    recall = index.recall_at_10
    figures = ", ".join(
        f"{name} {value:.3f}" for name, value in (("image", recall.image), ("text", recall.text)) if value is not None
    )
    manifest, delivery, block = lineage.manifest, lineage.delivery, lineage.embedding_block
    tree = Tree(escape(f"item {lineage.item_id} of catalog {lineage.catalog_id}: {lineage.image_uri or 'no picture'}"))
    state = "live" if lineage.is_live else "not live"
    node = tree.add(escape(f"release {release.release_id} ({state}), {release.items:,} items"))
    for entry in lineage.activations[:3]:
        node.add(escape(f"{entry['action']} by {entry['actor']} at {entry['activated_at']}"))
    node.add(escape(f"encoder {release.fingerprint}, version {release.encoder_version}"))
    under_index = node.add(
        escape(
            f"index {index.index_version}, row {lineage.row}: {index.index_key}, recall@10 {figures or 'not measured'}"
        )
    )
    _add_run(under_index, lineage.index_made_by)
    under_set = under_index.add(escape(f"embedding set {lineage.embedding_set_id}"))
    under_set.add(
        escape(
            f"block {block.block_id}: vector {lineage.embedding_key}, {block.engine} {block.precision}, "
            f"of {block.source_id} row group {block.row_group}"
        )
    )
    _add_run(node.add(escape(f"item table {lineage.item_table_id}")), lineage.item_table_made_by)
    under_manifest = node.add(
        escape(
            f"manifest {manifest.manifest_id} of {lineage.dt}: {manifest.rows_in:,} rows in, "
            f"{manifest.rows_accepted:,} accepted, {manifest.rows_rejected:,} rejected"
        )
    )
    _add_run(under_manifest, lineage.manifest_made_by)
    under_delivery = under_manifest.add(escape(f"delivery {delivery.delivery_id} from {delivery.source}"))
    _add_run(under_delivery, lineage.delivery_made_by)
    return tree


def _add_run(node: Tree, made_by: Provenance | None) -> None:
    from rich.markup import escape

    if made_by is None:
        return
    run = f"DAG run {made_by.dag_id} {made_by.dag_run_id}" if made_by.dag_id else "made by hand"
    node.add(escape(f"{run} at {made_by.created_at}, code {made_by.code_version}"))


def _find_row(object_store: ObjectStore, index: IndexVersion, item_id: str) -> tuple[int, str]:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    start = 0
    prefix = keys.index_prefix(index.catalog_id, index.index_version)
    for name in (file.name for file in index.files if file.name.startswith("rows/")):
        part = pq.read_table(io.BytesIO(object_store.get_bytes(f"{prefix}/{name}")))
        place = pc.index(part["item_id"], item_id).as_py()
        if place >= 0:
            return start + place, part["embedding_key"][place].as_py()
        start += part.num_rows
    raise ContractError(
        f"catalog {index.catalog_id}: index {index.index_version} has no item {item_id!r} among its "
        f"{index.items} rows; is it of another catalog, or was it in another release? "
        "make lineage ITEM=… CATALOG=… RELEASE=…"
    )


def _find_manifest_row(object_store: ObjectStore, table: ItemTable, item_id: str) -> tuple[Manifest, Mapping[str, Any]]:
    """Returns the manifest of the newest day that brought the item, with its row."""
    import pyarrow.compute as pc

    for manifest in head_manifests(object_store, table.catalog_id, table.manifests):
        for part in manifest.parts:
            with open_parquet(object_store, part.key) as parquet:
                for batch in parquet.iter_batches(columns=list(_ITEM_COLUMNS)):
                    found = batch.filter(pc.equal(batch.column("item_id"), item_id))
                    if found.num_rows:
                        return manifest, found.to_pylist()[-1]
    raise ContractError(
        f"catalog {table.catalog_id}: no manifest of item table {table.item_table_id} holds item {item_id!r}, "
        "though its index does; the object store was changed by hand"
    )


def _find_block(embedding_set: EmbeddingSet, item: Mapping[str, Any], item_id: str) -> EmbeddingBlock:
    unit = (item["source_id"], item["row_group"])
    for block in embedding_set.blocks:
        if (block.source_id, block.row_group) == unit:
            return block
    raise ContractError(
        f"embedding set {embedding_set.embedding_set_id}: no block covers {unit}, the unit of item {item_id!r}; "
        "the object store was changed by hand"
    )


def _plain(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, (str, int, type(None))) else str(value) for name, value in entry.items()}
