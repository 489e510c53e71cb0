"""Item tables and candidates: the head's metadata in the index's order, offered as a release."""

from __future__ import annotations

import datetime
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from index_builder.__main__ import main
from index_builder.builds import build_index_version, find_index_version
from index_builder.candidates import publish_candidate
from index_builder.coverage import resolve_head
from index_builder.metadata import item_table_build as item_tables
from index_builder.metadata.item_table_build import build_item_table, find_item_table
from index_builder.metadata.staged_head import StagedHead
from tests.index_builder.synthetic_catalog import FINGERPRINT, SyntheticCatalog, SyntheticItem, make_items
from vitrine.contracts.releases import Release
from vitrine.errors import ContractError, RequestError
from vitrine.images.altered import read_picture
from vitrine.item_table.table import ITEMS_FILE, ItemTable
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys


@pytest.fixture
def catalog(object_store: ObjectStore, ledger: Ledger, catalog_id: str) -> SyntheticCatalog:
    return SyntheticCatalog(object_store, ledger, catalog_id)


def test_rows_of_the_table_are_rows_of_the_index(settings: Settings, catalog: SyntheticCatalog, tmp_path: Path) -> None:
    items = make_items(90)
    _deliver(catalog, items[::-1])

    _, index_version, item_table_id = _build(settings, catalog)
    table = _open(catalog, item_table_id, tmp_path)

    ids = _index_ids(catalog, index_version)
    rows = {name: ids.index(name) for name in ("item-00007", "item-00089")}
    assert sorted(ids) == [item.item_id for item in items]
    assert table.rows_by_item_id([*rows, "no such item"]) == rows
    assert [item.item_id for item in table.items(range(90))] == ids
    seven = table.items([rows["item-00089"], rows["item-00007"]])[1]
    assert (seven.title, seven.category, seven.color, seven.price) == ("a thing number 3", "lamp", None, None)
    assert (seven.in_stock, seven.parent_id, seven.attributes) == (False, "parent-1", {"size": 7, "material": "silk"})
    assert seven.picture is not None
    assert (seven.width, seven.height, seven.picture.format) == (64, 48, "PNG")
    picture = read_picture(catalog.object_store, seven.picture, catalog_id=catalog.catalog_id)
    assert picture == b"picture of item-00007"


def test_filters_see_named_columns_and_scalar_attributes(
    settings: Settings, catalog: SyntheticCatalog, tmp_path: Path
) -> None:
    items = make_items(60)
    _deliver(catalog, items)

    table = _open(catalog, _build(settings, catalog)[2], tmp_path)

    kinds = {name: column.kind for name, column in table.columns.items()}
    assert kinds == {
        "attributes.material": "category",
        "attributes.size": "number",
        "category": "category",
        "color": "category",
        "in_stock": "boolean",
        "parent_id": "category",
        "price": "number",
    }
    found = table.filter_rows({"category": ["lamp", "shoe"], "price": {"lt": 30}, "attributes.material": "silk"})
    expected = [number for number in range(25) if number % 3 in (1, 2) and number % 2 == 1 and number % 7]
    assert sorted(item.item_id for item in table.items(found.ids)) == [f"item-{number:05d}" for number in expected]
    with pytest.raises(RequestError, match="brand"):
        table.filter_rows({"brand": "x"})


def test_odd_attributes_and_times_survive(settings: Settings, catalog: SyntheticCatalog, tmp_path: Path) -> None:
    when = datetime.datetime(2026, 11, 1, 12, 30, tzinfo=datetime.UTC)
    odd = [
        {"mixed": 1, "list": [1, 2], 'a/b "c"': "x", "flag": True, "rare": None},
        {"mixed": "one", "flag": False, "huge": 10**400},
        {},
    ]
    items = [
        SyntheticItem(f"item-{place}", columns={"attributes": json.dumps(attributes), "created_at": when})
        for place, attributes in enumerate(odd)
    ]
    _deliver(catalog, items)

    table = _open(catalog, _build(settings, catalog)[2], tmp_path)

    assert sorted(table.columns) == ['attributes.a/b "c"', "attributes.flag", "attributes.mixed", "created_at"]
    assert table.item("item-0").attributes["list"] == [1, 2]
    assert table.item("item-2").created_at == when
    found = table.filter_rows({"attributes.mixed": ["1", "one"]})
    assert sorted(item.item_id for item in table.items(found.ids)) == ["item-0", "item-1"]
    assert table.filter_rows({"created_at": {"gte": "2026-11-01"}}).count == 3


def test_a_table_over_other_items_than_the_indexs_is_refused(settings: Settings, catalog: SyntheticCatalog) -> None:
    items = make_items(20)
    _deliver(catalog, items)
    _, index_version, _ = _build(settings, catalog)
    more = make_items(3, start=100)
    _deliver(catalog, more, dt="2026-11-02")
    newer = resolve_head(settings, catalog_id=catalog.catalog_id, fingerprint=FINGERPRINT)

    with pytest.raises(ContractError, match="build the index of this head first"):
        build_item_table(settings, catalog_id=catalog.catalog_id, embedding_set_id=newer, index_version=index_version)


def test_the_same_head_gives_the_same_table_and_a_price_another(settings: Settings, catalog: SyntheticCatalog) -> None:
    items = make_items(20)
    _deliver(catalog, items)
    _, index_version, first = _build(settings, catalog)

    _, _, again = _build(settings, catalog)
    cheaper = SyntheticItem(items[3].item_id, columns={**items[3].columns, "price": 0.5})
    _deliver(catalog, [cheaper], dt="2026-11-02")
    _, same_index, changed = _build(settings, catalog)

    assert again == first
    assert same_index == index_version
    assert changed != first


def test_of_builds_of_one_table_that_race_the_later_one_changes_nothing(
    settings: Settings, catalog: SyntheticCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = make_items(20)
    _deliver(catalog, items)
    _, index_version, item_table_id = _build(settings, catalog)
    prefix = keys.item_table_prefix(catalog.catalog_id, item_table_id)
    before = {name: catalog.object_store.get_bytes(name) for name in catalog.object_store.list_keys(f"{prefix}/")}
    _deliver(catalog, items, dt="2026-11-02")  # the same rows at a later head
    newer = resolve_head(settings, catalog_id=catalog.catalog_id, fingerprint=FINGERPRINT)
    monkeypatch.setattr(item_tables, "find_item_table", lambda *_: None)  # it asked before the first one was done

    again = build_item_table(
        settings,
        catalog_id=catalog.catalog_id,
        embedding_set_id=newer,
        index_version=index_version,
        provenance={"dag_run_id": "the later one"},
    )

    assert again == item_table_id
    assert {name: catalog.object_store.get_bytes(name) for name in before} == before


def test_a_loser_with_another_sqlite_leaves_the_winners_files_as_they_are(
    settings: Settings, catalog: SyntheticCatalog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _deliver(catalog, make_items(20))
    embedding_set_id, index_version, item_table_id = _build(settings, catalog)
    written = StagedHead.write

    def write_otherwise(self: StagedHead, folder: Path, **options: int) -> object:
        made = written(self, folder, **options)
        with closing(sqlite3.connect(folder / ITEMS_FILE)) as database:
            database.execute("PRAGMA user_version = 7")
        return made

    with monkeypatch.context() as racing:
        racing.setattr(StagedHead, "write", write_otherwise)
        racing.setattr(item_tables, "find_item_table", lambda *_: None)  # it asked before the first one was done
        again = build_item_table(
            settings,
            catalog_id=catalog.catalog_id,
            embedding_set_id=embedding_set_id,
            index_version=index_version,
        )

    assert again == item_table_id
    assert _open(catalog, item_table_id, tmp_path).items_count == 20  # compares each file with its SHA-256


def test_a_candidate_is_offered_at_the_head_it_was_built_at(
    settings: Settings, catalog: SyntheticCatalog, ledger: Ledger
) -> None:
    _deliver(catalog, make_items(20))
    embedding_set_id, index_version, item_table_id = _build(settings, catalog)
    publish = {
        "catalog_id": catalog.catalog_id,
        "embedding_set_id": embedding_set_id,
        "index_version": index_version,
        "item_table_id": item_table_id,
        "encoder_version": "3",
    }

    release_id = publish_candidate(settings, **publish)
    again = publish_candidate(settings, **publish)

    release = Release.from_bytes(catalog.object_store.get_bytes(keys.release(catalog.catalog_id, release_id)))
    candidate = ledger.releases.candidate(catalog_id=catalog.catalog_id, release_id=release_id)
    assert again == release_id
    assert (release.items, release.encoder_version, release.space) == (20, "3", "encoder")
    assert (candidate.state, candidate.head_sequence) == ("offered", 1)


def test_parts_that_do_not_belong_together_are_refused(settings: Settings, catalog: SyntheticCatalog) -> None:
    _deliver(catalog, make_items(20))
    _, old_index, old_table = _build(settings, catalog)
    _deliver(catalog, make_items(5, start=50), dt="2026-11-02")
    newer, index_version, _ = _build(settings, catalog)

    for index, table in ((old_index, old_table), (index_version, old_table)):
        with pytest.raises(ContractError, match="one embedding set"):
            publish_candidate(
                settings,
                catalog_id=catalog.catalog_id,
                embedding_set_id=newer,
                index_version=index,
                item_table_id=table,
                encoder_version="1",
            )


def test_the_commands_hand_ids_to_one_another(
    settings: Settings, catalog: SyntheticCatalog, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _deliver(catalog, make_items(12))
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> str:
        assert main([arguments[0], "--catalog", catalog.catalog_id, *arguments[1:]]) == 0
        return capsys.readouterr().out.strip()

    embedding_set = run("resolve", "--fingerprint", FINGERPRINT)
    index = run("build", "--embedding-set", embedding_set)
    table = run("item-table", "--embedding-set", embedding_set, "--index", index)
    parts = ("--embedding-set", embedding_set, "--index", index, "--item-table", table)
    release = run("publish", *parts, "--encoder-version", "1")
    recall = json.loads(run("recall", "--index", index))

    assert release.startswith("release-")
    assert recall["recall_at_10"]["image"] == 1.0
    assert main(["recall", "--catalog", catalog.catalog_id, "--index", "index-none"]) == 1
    assert "index-none does not exist" in capsys.readouterr().err


def _deliver(catalog: SyntheticCatalog, items: list[SyntheticItem], *, dt: str = "2026-11-01") -> None:
    catalog.deliver(dt, items)
    catalog.embed(items)


def _build(settings: Settings, catalog: SyntheticCatalog) -> tuple[str, str, str]:
    catalog_id = catalog.catalog_id
    embedding_set_id = resolve_head(settings, catalog_id=catalog_id, fingerprint=FINGERPRINT)
    index_version = build_index_version(settings, catalog_id=catalog_id, embedding_set_id=embedding_set_id)
    item_table_id = build_item_table(
        settings, catalog_id=catalog_id, embedding_set_id=embedding_set_id, index_version=index_version
    )
    return embedding_set_id, index_version, item_table_id


def _index_ids(catalog: SyntheticCatalog, index_version: str) -> list[str]:
    manifest = find_index_version(catalog.object_store, catalog.catalog_id, index_version)
    prefix = keys.index_prefix(catalog.catalog_id, index_version)
    parts = [f"{prefix}/{file.name}" for file in manifest.files if file.name.startswith("rows/")]
    tables = [pq.read_table(io.BytesIO(catalog.object_store.get_bytes(part))) for part in parts]
    return [name for table in tables for name in table["item_id"].to_pylist()]


def _open(catalog: SyntheticCatalog, item_table_id: str, folder: Path) -> ItemTable:
    manifest = find_item_table(catalog.object_store, catalog.catalog_id, item_table_id)
    assert manifest is not None
    prefix = keys.item_table_files_prefix(catalog.catalog_id, item_table_id, attempt_id=manifest.attempt_id)
    for file in manifest.files:
        catalog.object_store.get_file(f"{prefix}/{file.name}", folder / file.name, sha256=file.sha256)
    return ItemTable.open(folder, manifest)
