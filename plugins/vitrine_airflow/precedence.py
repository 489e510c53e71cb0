"""Which task goes first where several wait for a slot: that of the catalog that has come furthest.

Airflow hands a free slot to the task of the greatest weight. A task's weight says how far it stands on its catalog's
way to a release, through all of its DAGs, and only between tasks that have come equally far, whose turn it is. So a
catalog that has begun ends before the next begins, whichever pools its steps need.

What was delivered goes before what is embedded again: an ingest waits for the Spark job that runs, and for none of the
builds that have not begun. A training waits for both.
"""

from __future__ import annotations

from airflow.sdk import DAG

# On the way to a release; what stands later goes first. Steps of one DAG go on from its number, by their depth.
_TRAIN, _BUILD, _INGEST, _BUILD_BEGUN, _RELEASE, _PLATFORM = range(0, 600, 100)
_OF_DAG = {
    "train_encoder": _TRAIN,
    "ingest_catalog": _INGEST,
    "build_index": _BUILD_BEGUN,
    "release_index": _RELEASE,
}
_BEFORE_IT_HAS_BEGUN = {"wait_for_ingest", "resolve_encoder", "embed_head"}  # of `build_index`
_PLACES = 10_000


def weigh_tasks(dag: DAG, *, kind: str | None, place: int = 0) -> None:
    """Gives each task of a DAG its weight.

    Args:
        dag: whose layout is complete.
        kind: the name of the DAG without its catalog; None: a DAG of the platform, which goes before all.
        place: of its catalog among all in turn, from 0, the first.
    """
    depths = _depths(dag)
    for task in dag.tasks:
        task.weight_rule = "absolute"
        task.priority_weight = weight(kind, task.task_id, depth=depths[task.task_id], place=place)


def weight(kind: str | None, task_id: str, *, depth: int, place: int) -> int:
    """Returns the weight of one task.

    Args:
        kind: as `weigh_tasks` takes it.
        task_id: of the task.
        depth: how many tasks of its DAG come before it, one after the other.
        place: as `weigh_tasks` takes it.
    """
    begins = _PLATFORM if kind is None else _OF_DAG[kind]
    if kind == "build_index" and task_id in _BEFORE_IT_HAS_BEGUN:
        begins = _BUILD
    return (begins + min(depth, 99)) * _PLACES + max(0, _PLACES - 1 - place)


def _depths(dag: DAG) -> dict[str, int]:
    depths: dict[str, int] = {}
    for task in dag.topological_sort():
        depths[task.task_id] = 1 + max((depths[upstream] for upstream in task.upstream_task_ids), default=-1)
    return depths
