"""Builds that are stopped at any write, or killed outright: run again they end as if nothing had happened."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from index_builder.builds import build_index_version, find_index_version
from index_builder.coverage import resolve_head
from tests.index_builder.synthetic_catalog import FINGERPRINT, SyntheticCatalog, make_items
from tests.slow_store import SlowStore
from tests.waiting import wait_for
from vitrine.contracts.releases import IndexVersion
from vitrine.ledger import Ledger
from vitrine.ledger.attempts import Attempts
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

ROOT = Path(__file__).resolve().parents[3]


class Stopped(BaseException):
    """Ends a build where a kill would: no error handling of the code catches it."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Lists that are merged from a few parts, by one thread."""
    changed = {"index_key": "IVF16,SQ8", "index_part_rows": 512, "index_threads": 1}
    return settings.model_copy(update=changed)


@pytest.fixture
def catalog(object_store: ObjectStore, ledger: Ledger, catalog_id: str) -> SyntheticCatalog:
    catalog = SyntheticCatalog(object_store, ledger, catalog_id, pack_rows=128)
    items = make_items(1024)
    catalog.deliver("2026-11-01", items)
    catalog.embed(items)
    return catalog


# Before each of these writes a build is stopped, one after the other: a key of the store, or a scope of the ledger.
WRITES = (
    "/embedding_sets/",
    "/quantizer.faiss",
    "ledger quantizer",
    "/quantizers/quantizer-.*/manifest.json",
    "/rows/part-00000-",
    "/rows/part-00003-",
    "/index_plans/",
    "/codes.u8",
    "/lists.i32",
    "/part.json",
    "/index.faiss",
    "/recall_curve.json",
    "ledger index_version",
    "/provenance.json",
    "/indexes/.*/manifest.json",
)


def test_a_build_that_is_stopped_before_every_kind_of_write_ends_as_one_that_was_not(
    settings: Settings,
    catalog: SyntheticCatalog,
    object_store: ObjectStore,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    undisturbed = SyntheticCatalog(object_store, ledger, f"{catalog.catalog_id}u", pack_rows=128)
    undisturbed.deliver("2026-11-01", make_items(1024))
    undisturbed.embed(make_items(1024))
    expected = _build(settings, undisturbed)
    stopped = []

    for write in WRITES:
        with monkeypatch.context() as patch:
            _stop_before(patch, write)
            try:
                _build(settings, catalog)
            except Stopped:
                stopped.append(write)
    manifest = _build(settings, catalog)

    assert tuple(stopped) == WRITES
    assert _index_bytes(manifest) == _index_bytes(expected)
    assert manifest.recall_at_10 == expected.recall_at_10
    assert (manifest.items, manifest.parts) == (1024, expected.parts)


def _stop_before(patch: pytest.MonkeyPatch, write: str) -> None:
    """Stops a build before the first write whose key fits the pattern."""

    def watched(original: Callable) -> Callable:
        def call(owner: object, *arguments: object, **options: object) -> object:
            if re.search(write, str(arguments[0]) if arguments else f"ledger {options['scope']}"):
                raise Stopped
            return original(owner, *arguments, **options)

        return call

    for owner, name in ((ObjectStore, "put_bytes"), (ObjectStore, "put_file"), (Attempts, "commit")):
        patch.setattr(owner, name, watched(getattr(owner, name)))


@pytest.mark.parametrize(("step", "held"), [("quantizers/", "/index_plans/"), ("encoded_parts/", "/index.faiss")])
def test_a_build_process_that_is_killed_leaves_what_the_next_goes_on_from(
    settings: Settings, catalog: SyntheticCatalog, step: str, held: str
) -> None:
    embedding_set_id = resolve_head(settings, catalog_id=catalog.catalog_id, fingerprint=FINGERPRINT)
    command = [sys.executable, "-m", "index_builder", "build"]
    command += ["--catalog", catalog.catalog_id, "--embedding-set", embedding_set_id]
    written = f"{catalog.catalog_id}/{step}"
    with closing(SlowStore(str(settings.s3_endpoint_url), bytes_per_s=1)) as store:
        store.slow_for = held  # a build gets no further than this upload, however fast it is
        environment = settings.model_copy(update={"s3_endpoint_url": store.url}).to_environment()
        with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}) as process:
            wait_for(
                lambda: any(catalog.object_store.list_keys(written)) or process.poll() is not None,
                what=f"an object under {written}",
                every_s=0.01,
            )
            process.kill()
    assert process.returncode == -signal.SIGKILL  # it met a running build
    left = _settled_data(catalog)

    manifest = _build(settings, catalog)

    assert left.items() <= _data(catalog).items()
    assert manifest.items == sum(1 for _ in make_items(1024))
    assert manifest.recall_at_10.image >= 0.95
    again = [key for key in _data(catalog) if key.endswith("/part.json")]
    assert len(again) == manifest.parts


def _build(settings: Settings, catalog: SyntheticCatalog) -> IndexVersion:
    embedding_set_id = resolve_head(settings, catalog_id=catalog.catalog_id, fingerprint=FINGERPRINT)
    index_version = build_index_version(settings, catalog_id=catalog.catalog_id, embedding_set_id=embedding_set_id)
    manifest = find_index_version(catalog.object_store, catalog.catalog_id, index_version)
    assert manifest is not None
    return manifest


def _data(catalog: SyntheticCatalog) -> dict[str, int]:
    return dict(catalog.object_store.list_objects(f"{catalog.catalog_id}/"))


def _settled_data(catalog: SyntheticCatalog) -> dict[str, int]:
    """The objects once the store has dropped what the killed process was still sending."""
    seen: list[dict[str, int]] = []

    def is_settled() -> bool:
        seen.append(_data(catalog))
        return seen[-2:-1] == seen[-1:]

    wait_for(is_settled, what="two listings in a row that agree", every_s=0.5)
    return seen[-1]


def _index_bytes(manifest: IndexVersion) -> list[str]:
    return [file.sha256 for file in manifest.files if file.name.endswith(".faiss")]
