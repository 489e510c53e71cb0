"""Lineage: one command from a search result to the run that delivered it."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from index_builder.builds import build_index_version
from index_builder.candidates import publish_candidate
from index_builder.coverage import resolve_head
from index_builder.metadata.item_table_build import build_item_table
from tests.index_builder.synthetic_catalog import FINGERPRINT, SyntheticCatalog, SyntheticItem, make_items
from vitrine.__main__ import main
from vitrine.contracts.releases import IndexVersion
from vitrine.errors import ContractError, ReleaseError
from vitrine.identity import sha256_hex
from vitrine.ledger import Ledger
from vitrine.lineage import trace
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys


@pytest.fixture
def release_id(settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str) -> str:
    """A release of two days: the second renames item-00003."""
    catalog = SyntheticCatalog(object_store, ledger, catalog_id)
    items = make_items(30)
    catalog.deliver("2026-11-01", items)
    catalog.embed(items)
    catalog.deliver("2026-11-02", [SyntheticItem("item-00003", columns={"title": "renamed"})])
    catalog.embed([SyntheticItem("item-00003")])
    run = {"dag_id": f"{catalog_id}.build_index", "dag_run_id": "build-7"}
    parts = {"embedding_set_id": resolve_head(settings, catalog_id=catalog_id, fingerprint=FINGERPRINT)}
    parts["index_version"] = build_index_version(settings, catalog_id=catalog_id, **parts, provenance=run)
    parts["item_table_id"] = build_item_table(settings, catalog_id=catalog_id, **parts, provenance=run)
    return publish_candidate(settings, catalog_id=catalog_id, **parts, encoder_version="1")


def test_a_result_leads_back_to_the_day_and_the_runs_that_brought_it(
    settings: Settings, object_store: ObjectStore, catalog_id: str, release_id: str
) -> None:
    old = trace(settings, catalog_id=catalog_id, item_id="item-00004", release_id=release_id)
    new = trace(settings, catalog_id=catalog_id, item_id="item-00003", release_id=release_id)

    assert (old.dt, new.dt) == ("2026-11-01", "2026-11-02")
    assert _item_in_row(object_store, old.index_version, old.row) == "item-00004"
    assert old.embedding_key == sha256_hex(b"picture of item-00004")
    assert old.embedding_block.source_id == old.pack_id
    assert old.manifest.delivery_id == old.delivery.delivery_id
    assert old.manifest_made_by.dag_run_id == "ingest-2026-11-01"
    assert new.delivery_made_by.dag_run_id == "ingest-2026-11-02"
    assert old.index_made_by.dag_run_id == old.item_table_made_by.dag_run_id == "build-7"
    assert old.is_live is False


def test_the_command_prints_a_tree_or_json_of_the_live_release(
    settings: Settings,
    ledger: Ledger,
    catalog_id: str,
    release_id: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ledger.releases.activate(
        catalog_id=catalog_id,
        release_id=release_id,
        head_sequence=2,
        expected_generation=0,
        action="release",
        actor="somebody",
    )
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)

    assert main(["lineage", "--catalog", catalog_id, "--item", "item-00003"]) == 0
    tree = capsys.readouterr().out
    assert main(["lineage", "--catalog", catalog_id, "--item", "item-00003", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)

    for expected in (f"release {release_id} (live)", "release by somebody", "build-7", "ingest-2026-11-02", "block-"):
        assert expected in tree
    assert document["release"]["release_id"] == release_id
    assert document["dt"] == "2026-11-02"


def test_an_item_or_a_release_that_is_not_there_is_named(settings: Settings, catalog_id: str, release_id: str) -> None:
    with pytest.raises(ContractError, match="no item 'nobody'"):
        trace(settings, catalog_id=catalog_id, item_id="nobody", release_id=release_id)
    with pytest.raises(ReleaseError, match="no live release"):
        trace(settings, catalog_id=catalog_id, item_id="item-00003")
    with pytest.raises(ReleaseError, match="release-gone"):
        trace(settings, catalog_id=catalog_id, item_id="item-00003", release_id="release-gone")


def _item_in_row(object_store: ObjectStore, index: IndexVersion, row: int) -> str:
    prefix = keys.index_prefix(index.catalog_id, index.index_version)
    parts = [file.name for file in index.files if file.name.startswith("rows/")]
    tables = [pq.read_table(io.BytesIO(object_store.get_bytes(f"{prefix}/{name}"))) for name in parts]
    return pa.concat_tables(tables)["item_id"][row].as_py()
