"""The first writer of a document wins; every writer to the store is known, with what keeps it from overwriting."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vitrine.contracts.document import Provenance
from vitrine.ledger import Ledger
from vitrine.provenance import put_provenance, read_provenance
from vitrine.storage import ObjectStore
from vitrine.write_once import put_once

ROOT = Path(__file__).resolve().parents[2]
CODE = ("vitrine", "spark_jobs", "training", "index_builder", "monitoring", "serving", "deploy", "plugins")

# Why a writer never puts other bytes under a key that exists.
CONTENT = "the key hashes the bytes, or everything that they are made of"
ATTEMPT = "the key holds an attempt of its own"
COMMITTED = "the bytes are those that an insert in the ledger committed"
RACED = "a test has two of them race whose bytes differ"
LONE = "without a ledger there is one writer"
REPORT = "for people: of two validations of one manifest either report is true, and what is there is kept"
WRITERS = {
    ("vitrine/write_once.py", "put_once"): RACED,
    ("vitrine/ledger/database.py", "export_journal"): COMMITTED,
    ("vitrine/event_log.py", "put_event_part"): CONTENT,
    ("vitrine/encoder/publishing.py", "publish_encoder"): CONTENT,
    ("vitrine/encoder/publishing.py", "_put_manifest"): LONE,
    ("vitrine/releases/gate.py", "_write_report"): ATTEMPT,
    ("spark_jobs/profiling/workers.py", "write_parts"): ATTEMPT,
    ("spark_jobs/embedding/blocks.py", "write_block"): ATTEMPT,
    ("spark_jobs/profiling/packs/image_packs.py", "store_pack"): RACED,
    ("spark_jobs/profiling/packs/listings.py", "put_listing"): CONTENT,
    ("spark_jobs/deliveries/folder_images.py", "copy_file"): CONTENT,
    ("spark_jobs/validation/partition.py", "_write"): CONTENT,
    ("spark_jobs/validation/data_docs.py", "publish_data_docs"): REPORT,
    ("spark_jobs/mining/parts.py", "_write"): ATTEMPT,
    ("spark_jobs/mining/relations/grades.py", "store_grades"): CONTENT,
    ("spark_jobs/mining/plan.py", "plan_training_set"): CONTENT,
    ("spark_jobs/mining/samples/vector_shards.py", "_write"): ATTEMPT,
    ("spark_jobs/mining/job.py", "run_mine_job"): COMMITTED,
    ("training/steps/stored_files.py", "store_file"): CONTENT,
    ("training/steps/evaluate.py", "evaluate_training"): COMMITTED,
    ("training/steps/train.py", "run_planned_training"): COMMITTED,
    ("index_builder/builds/parts/encoded_parts.py", "put_encoded_part"): ATTEMPT,
    ("index_builder/builds/quantizers.py", "_put_files"): ATTEMPT,
    ("index_builder/builds/quantizers.py", "_finish"): COMMITTED,
    ("index_builder/builds/versions.py", "commit_index_version"): COMMITTED,
    ("index_builder/builds/plans.py", "_put"): CONTENT,
    ("index_builder/builds/assembly.py", "assemble"): ATTEMPT,
    ("index_builder/metadata/item_table_build.py", "build_item_table"): RACED,
    ("index_builder/coverage.py", "resolve_head"): CONTENT,
}
RACES = {
    ("vitrine/write_once.py", "put_once"): (
        "tests/vitrine/test_write_once.py",
        "test_of_writers_that_race_to_replace_what_was_collected_one_wins",
    ),
    ("spark_jobs/profiling/packs/image_packs.py", "store_pack"): (
        "tests/spark_jobs/profiling/packs/test_image_packs.py",
        "test_of_profiles_that_race_under_two_layouts_each_finds_its_images",
    ),
    ("index_builder/metadata/item_table_build.py", "build_item_table"): (
        "tests/index_builder/metadata/test_item_table_build.py",
        "test_a_loser_with_another_sqlite_leaves_the_winners_files_as_they_are",
    ),
}


def test_every_writer_to_the_object_store_is_known_and_says_why_it_overwrites_nothing() -> None:
    found = {(path, function) for folder in CODE for path, function in _writers(folder)}

    assert found == set(WRITERS), "a new writer: use put_once, or name what keeps it from overwriting"


def test_a_writer_that_is_said_to_be_raced_has_its_test() -> None:
    missing = [
        name for name, (path, test) in RACES.items() if f"def {test}(" not in (ROOT / path).read_text(encoding="utf-8")
    ]

    assert missing == []
    assert {name for name, reason in WRITERS.items() if reason == RACED} == set(RACES)


def test_provenance_is_written_by_one_function() -> None:
    paths = (path for folder in CODE for path in (ROOT / folder).rglob("*.py"))

    assert [path.relative_to(ROOT).as_posix() for path in paths if _names_provenance(path)] == ["vitrine/provenance.py"]


def test_of_writers_that_race_one_wins_and_all_see_its_bytes(
    object_store: ObjectStore, ledger: Ledger, catalog_id: str
) -> None:
    writers, start = 8, threading.Barrier(8)

    def write(number: int) -> bytes:
        start.wait()
        return put_once(object_store, ledger, f"{catalog_id}/document.json", b"writer %d" % number)

    with ThreadPoolExecutor(writers) as pool:
        stood = set(pool.map(write, range(writers)))

    assert len(stood) == 1
    assert object_store.get_bytes(f"{catalog_id}/document.json") == stood.pop()


def test_a_writer_that_died_after_its_commit_has_won(
    object_store: ObjectStore, ledger: Ledger, catalog_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"{catalog_id}/document.json"
    with monkeypatch.context() as killed:
        killed.setattr(ObjectStore, "put_bytes", _die)
        with pytest.raises(KeyboardInterrupt):
            put_once(object_store, ledger, key, "the first, ünïcode".encode())

    stood = put_once(object_store, ledger, key, b"the second")

    assert stood == object_store.get_bytes(key) == "the first, ünïcode".encode()


def test_what_was_collected_as_garbage_is_written_anew(
    object_store: ObjectStore, ledger: Ledger, catalog_id: str
) -> None:
    key = f"{catalog_id}/document.json"
    put_once(object_store, ledger, key, b"names files that are gone")
    object_store.delete(key)

    stood = put_once(
        object_store, ledger, key, b"names its own", is_whole=lambda found: found != b"names files that are gone"
    )

    assert stood == object_store.get_bytes(key) == b"names its own"


def test_of_writers_that_race_to_replace_what_was_collected_one_wins(
    object_store: ObjectStore, ledger: Ledger, catalog_id: str
) -> None:
    key, writers, start = f"{catalog_id}/document.json", 8, threading.Barrier(8)
    put_once(object_store, ledger, key, b"names files that are gone")
    object_store.delete(key)

    def write(number: int) -> bytes:
        def is_whole(found: bytes) -> bool:
            if found == b"names files that are gone":
                start.wait()  # all of them find the same
                return False
            return True

        return put_once(object_store, ledger, key, b"writer %d" % number, is_whole=is_whole)

    with ThreadPoolExecutor(writers) as pool:
        stood = set(pool.map(write, range(writers)))
    object_store.delete(key)

    assert len(stood) == 1
    assert put_once(object_store, ledger, key, b"a later one") == stood.pop()


def test_what_was_there_before_the_ledger_knew_it_stands(
    object_store: ObjectStore, ledger: Ledger, catalog_id: str
) -> None:
    object_store.put_bytes(f"{catalog_id}/document.json", b"of an older Vitrine")

    assert put_once(object_store, ledger, f"{catalog_id}/document.json", b"new") == b"of an older Vitrine"


def test_the_provenance_of_the_first_maker_stands(object_store: ObjectStore, ledger: Ledger, catalog_id: str) -> None:
    for run in ("first", "second"):
        made = Provenance(created_at="2026-11-30T10:00:00+00:00", code_version="0.1.0+gabc", dag_run_id=run)
        put_provenance(object_store, ledger, catalog_id, made)

    assert read_provenance(object_store, catalog_id).dag_run_id == "first"


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def _writers(folder: str) -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name == "vitrine/storage/object_store.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in ("put_bytes", "put_file", "put_object", "upload_file"):
                inside = [one for one in functions if one.lineno <= node.lineno <= (one.end_lineno or 0)]
                yield name, min(inside, key=lambda one: (one.end_lineno or 0) - one.lineno).name if inside else "module"


def _names_provenance(path: Path) -> bool:
    """Whether a module builds the file's key: by the constant, or in an f-string."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    pieces = [value for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for value in node.values]
    return "PROVENANCE_FILE" in names or any("provenance.json" in ast.unparse(piece) for piece in pieces)
