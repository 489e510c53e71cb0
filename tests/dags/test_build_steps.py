"""Steps of a build with nothing to do are skipped by the step before, so that they take no slot of Spark's pool."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from index_builder.builds import encode_parts
from tests.index_builder.synthetic_catalog import FINGERPRINT, SyntheticCatalog, make_items
from vitrine.catalogs import Catalog, declare_catalog
from vitrine.errors import UncoveredHeadError
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a task hands on by name."""
    from vitrine_airflow import run

    values: dict[str, Any] = {}
    context = {"ti": SimpleNamespace(xcom_push=values.__setitem__)}
    monkeypatch.setattr(run, "get_current_context", lambda: context)
    return values


@pytest.fixture
def catalog(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str, monkeypatch: pytest.MonkeyPatch
) -> SyntheticCatalog:
    """A day of 700 items that are not embedded yet, with an encoder that is resolved."""
    from vitrine_airflow import build_steps

    declare_catalog(settings.catalogs_file, Catalog(catalog_id=catalog_id))
    encoder = {"fingerprint": FINGERPRINT, "encoder_version": "1"}
    monkeypatch.setattr(build_steps, "resolve_or_skip", lambda *_, **__: encoder)
    catalog = SyntheticCatalog(object_store, ledger, catalog_id, pack_rows=64)
    catalog.deliver("2026-11-01", make_items(700))
    return catalog


def skipped(call: Any) -> list[str]:
    """Returns the tasks that a step skips."""
    from airflow.sdk.exceptions import DownstreamTasksSkipped

    with pytest.raises(DownstreamTasksSkipped) as ended:
        call()
    return list(ended.value.tasks)


def test_a_head_that_is_embedded_skips_its_embedding_and_one_that_is_not_does_not(
    settings: Settings, catalog: SyntheticCatalog, catalog_id: str, pushed: dict[str, Any]
) -> None:
    from vitrine_airflow.build_steps import resolve_encoder

    before = resolve_encoder(settings, catalog_id=catalog_id, encoder="live")
    catalog.embed(make_items(700))
    tasks = skipped(lambda: resolve_encoder(settings, catalog_id=catalog_id, encoder="live"))

    assert before == {"fingerprint": FINGERPRINT, "encoder_version": "1", "embedding_set_id": None}
    assert tasks == ["embed_head"]
    assert pushed["return_value"] == {**before, "embedding_set_id": pushed["embedding_set_id"]}
    assert pushed["embedding_set_id"] and pushed["fingerprint"] == FINGERPRINT


def test_a_recipe_that_is_built_whole_skips_the_encoding_and_so_do_parts_that_are_encoded(
    settings: Settings, catalog: SyntheticCatalog, catalog_id: str, pushed: dict[str, Any]
) -> None:
    from vitrine_airflow.build_steps import plan_index, resolve_encoder

    catalog.embed(make_items(700))
    skipped(lambda: resolve_encoder(settings, catalog_id=catalog_id, encoder="live"))
    head = {"catalog_id": catalog_id, "covered": pushed["embedding_set_id"], "embedded": None, "retrain": False}
    in_parts = settings.model_copy(update={"index_key": "IVF16,SQ8", "index_part_rows": 256})

    whole = skipped(lambda: plan_index(settings, **head))
    plan_of_whole = dict(pushed)
    planned = plan_index(in_parts, **head)
    encode_parts(in_parts, catalog_id=catalog_id, plan_id=planned["plan_id"])
    encoded = skipped(lambda: plan_index(in_parts, **head))

    assert whole == encoded == ["encode_parts"]
    assert plan_of_whole["plan_id"] != planned["plan_id"] == pushed["plan_id"]
    assert planned["embedding_set_id"] == pushed["embedding_set_id"] == head["covered"]


def test_of_two_embedding_sets_the_later_head_is_built_and_none_is_an_error_that_says_what_to_clear(
    settings: Settings, catalog: SyntheticCatalog, catalog_id: str, pushed: dict[str, Any]
) -> None:
    from vitrine_airflow.build_steps import plan_index

    from index_builder.coverage import resolve_head

    catalog.embed(make_items(700))
    earlier = resolve_head(settings, catalog_id=catalog_id, fingerprint=FINGERPRINT)
    items = make_items(40, start=700)
    catalog.deliver("2026-11-02", items)
    catalog.embed(items)
    later = resolve_head(settings, catalog_id=catalog_id, fingerprint=FINGERPRINT)

    for covered, embedded in ((earlier, later), (later, earlier)):
        head = {"covered": covered, "embedded": embedded, "retrain": False}
        skipped(lambda head=head: plan_index(settings, catalog_id=catalog_id, **head))  # type: ignore[misc]
        assert pushed["embedding_set_id"] == later

    with pytest.raises(UncoveredHeadError, match="clear resolve_encoder"):
        plan_index(settings, catalog_id=catalog_id, covered=None, embedded=None, retrain=False)


def test_what_follows_a_step_that_may_be_skipped_runs_all_the_same_but_not_in_a_run_that_is_skipped(
    dag_bag: DagBag,
) -> None:
    dag = dag_bag.dags["demo.build_index"]

    for skipped_step, after, beside in (
        ("embed_head", "plan_index", "resolve_encoder"),
        ("encode_parts", "assemble_index", "plan_index"),
    ):
        assert dag.get_task(after).upstream_task_ids == {skipped_step, beside}
        assert dag.get_task(after).trigger_rule == "none_failed_min_one_success"
        assert dag.get_task(skipped_step).upstream_task_ids == {beside}
    others = [task for task in dag.tasks if task.task_id not in ("plan_index", "assemble_index")]
    assert {task.trigger_rule for task in others} == {"all_success"}
