"""The build of an index by DAG: ids travel between its steps, and Spark starts only where there is much to encode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from index_builder.builds import plan_build
from index_builder.builds.parts.encoded_parts import encoded_part_ids
from index_builder.builds.plans import read_plan
from index_builder.coverage import resolve_head
from tests.index_builder.synthetic_catalog import FINGERPRINT, SyntheticCatalog, make_items
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag


@pytest.fixture
def planned(
    settings: Settings,
    object_store: ObjectStore,
    ledger: Ledger,
    catalog_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """Settings of an index in several parts, in the environment, where a task finds them."""
    settings = settings.model_copy(update={"index_key": "IVF16,SQ8", "index_part_rows": 256})
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    catalog = SyntheticCatalog(object_store, ledger, catalog_id, pack_rows=64)
    items = make_items(700)
    catalog.deliver("2026-11-01", items)
    catalog.embed(items)
    return settings


def test_few_parts_are_encoded_by_the_task_and_many_by_spark_submit(
    planned: Settings, object_store: ObjectStore, catalog_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vitrine_airflow.encode_parts import EncodeParts
    from vitrine_airflow.spark import StageJob

    submitted: list[list[str]] = []

    def submit(task: Any, context: Any) -> None:
        submitted.append([task.stage, task.verb, *map(str, task.options.values())])

    monkeypatch.setattr(StageJob, "execute", submit)
    embedding_set_id = resolve_head(planned, catalog_id=catalog_id, fingerprint=FINGERPRINT)
    plan_id = plan_build(planned, catalog_id=catalog_id, embedding_set_id=embedding_set_id)
    task = EncodeParts(task_id="encode_parts", catalog_id=catalog_id, plan_id=plan_id)

    monkeypatch.setenv("VITRINE_INDEX_ENCODE_IN_PROCESS_ROWS", "600")
    by_spark = task.execute({})
    monkeypatch.setenv("VITRINE_INDEX_ENCODE_IN_PROCESS_ROWS", "700")
    here = task.execute({})
    monkeypatch.setenv("VITRINE_INDEX_ENCODE_IN_PROCESS_ROWS", "0")
    again = task.execute({})

    plan = read_plan(object_store, catalog_id, plan_id)
    assert {by_spark, here, again} == {plan_id}
    assert submitted == [["index_builder", "encode", catalog_id, plan_id]]
    encoded = encoded_part_ids(object_store, catalog_id, plan.quantizer.quantizer_id)
    assert encoded == {part.part_id for part in plan.parts}


def test_the_steps_of_a_build_hand_ids_to_one_another(dag_bag: DagBag) -> None:
    dag = dag_bag.dags["demo.build_index"]

    steps = ["embed_head", "plan_index", "encode_parts", "assemble_index", "build_item_table", "publish_candidate"]
    assert [dag.get_task(step).upstream_task_ids & set(steps) for step in steps[1:4]] == [
        {"embed_head"},
        {"plan_index"},
        {"plan_index", "encode_parts"},
    ]
    assert {step: dag.get_task(step).pool for step in steps[1:4]} == {
        "plan_index": "index",
        "encode_parts": "spark",
        "assemble_index": "index",
    }
    assert dag.get_task("encode_parts").plan_id is not None
    assert dag.params["retrain"] is False
