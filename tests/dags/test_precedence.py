"""Which task gets a free slot: through all DAGs of all catalogs, that of the catalog that has come furthest."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

CATALOGS = """catalogs:
  slow: {priority: -1}
  one: {}
  urgent: {priority: 5}
  two: {}
  demo: {}
"""
IN_TURN = ("demo", "urgent", "one", "two", "slow")
# Of each DAG, the steps on the way to a release, in the order in which slots go to them, the last first.
WAY = [
    ("train_encoder", ["plan_training_set", "mine_training_set", "train"]),
    ("build_index", ["resolve_encoder", "embed_head"]),
    ("ingest_catalog", ["check_partition_key", "profile_images", "validate_items", "embed_images", "trigger_build"]),
    ("build_index", ["plan_index", "encode_parts", "assemble_index", "build_item_table", "trigger_release"]),
    ("release_index", ["choose_action", "gate_release", "stage_release", "activate_release", "verify_release"]),
]


@pytest.fixture
def weights(parse: Callable[[str], DagBag]) -> dict[tuple[str, str], int]:
    """By DAG and task, the weight that the scheduler orders by, of DAGs that went through Airflow's database."""
    from airflow.serialization.serialized_objects import DagSerialization

    def weight(task: Any) -> int:
        return int(task.weight_rule.get_weight(SimpleNamespace(task=task)))

    dags = [DagSerialization.from_dict(DagSerialization.to_dict(dag)) for dag in parse(CATALOGS).dags.values()]
    return {(dag.dag_id, task.task_id): weight(task) for dag in dags for task in dag.tasks}


def test_a_step_goes_before_every_earlier_step_of_whichever_catalog(weights: dict[tuple[str, str], int]) -> None:
    steps = [[weights[f"{catalog}.{dag}", step] for catalog in IN_TURN] for dag, of_dag in WAY for step in of_dag]

    for earlier, later in itertools.pairwise(steps):
        assert max(earlier) < min(later)


def test_of_two_catalogs_that_have_come_equally_far_the_one_whose_turn_is_first_goes_before(
    weights: dict[tuple[str, str], int],
) -> None:
    for dag, of_dag in WAY:
        for step in of_dag:
            in_turn = [weights[f"{catalog}.{dag}", step] for catalog in IN_TURN]

            assert in_turn == sorted(in_turn, reverse=True)
            assert len(set(in_turn)) == len(IN_TURN), "the order of equal weights is anybody's guess"


def test_no_step_of_a_catalog_goes_before_one_that_comes_after_it(parse: Callable[[str], DagBag]) -> None:
    for dag in parse(CATALOGS).dags.values():
        for task in dag.tasks:
            assert all(dag.get_task(after).priority_weight > task.priority_weight for after in task.downstream_task_ids)


def test_what_is_promoted_is_settled_before_any_catalog_goes_on(weights: dict[tuple[str, str], int]) -> None:
    of_platform = {weight for (dag_id, _), weight in weights.items() if dag_id == "watch_promotions"}

    assert min(of_platform) > max(weight for (dag_id, _), weight in weights.items() if dag_id != "watch_promotions")
    assert max(weights.values()) < 2**31, "Airflow keeps weights in 32 bits"
