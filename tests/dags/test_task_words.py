"""Whoever waits for a run reads what its tasks do, not what they are called in the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.local.watching.task_words import stage_name, task_words

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag


def test_every_task_of_every_dag_has_words(dag_bag: DagBag) -> None:
    for dag in dag_bag.dags.values():
        assert stage_name(dag.dag_id) != dag.dag_id.rpartition(".")[2]
        for task in dag.tasks:
            # `pin` and `train` are words already.
            assert task_words(task.task_id) != task.task_id or "_" not in task.task_id
