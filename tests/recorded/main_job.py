"""What one run of the main job leaves: keys, ids, rows of the ledger and states of tasks, free of times and attempts.

`python -m tests.recorded.main_job [--shapes]` prints it for the platform of `VITRINE_STATE_DIR`: run it before a change
that should change nothing, and after it on the same machine, and compare. Content ids follow the vectors, and these the
processor: what is kept beside the tests are the shapes alone.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tests.recorded.interfaces import written

if TYPE_CHECKING:
    from deploy.local.configuration import Configuration

# A 12-digit attempt, and what is named by one: a block of embeddings, and files that hold the times of an attempt.
_ATTEMPT = re.compile(r"(?<![0-9a-f])[0-9a-f]{12}(?![0-9a-f])")
_OF_AN_ATTEMPT = re.compile(
    r"(?<=/)(block-[0-9a-f]+|part-[0-9a-f]{20}|[0-9a-f]{64})(?=[/.])|(?<=/)[0-9a-f]{20}(?=\.parquet)"
)
_NUMBER = re.compile(r"(?<=-)[0-9]{3,12}(?=[-./])|(?<=dt=)[0-9-]{10}")
_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{20,64}(?![0-9a-f])")
_TRANSIENT = ("replicas", "replica_slots", "promotion_signals", "stagings")


def main_job(configuration: Configuration, *, catalog_id: str, shapes: bool) -> dict[str, Any]:
    """Returns what the platform holds of a catalog, with content ids or with their shapes alone."""
    from vitrine.connections import open_ledger, open_object_store

    keys = [
        key
        for prefix in (catalog_id, "encoders")
        for key in open_object_store(configuration.settings).list_keys(f"{prefix}/")
    ]
    ledger = open_ledger(configuration.settings)
    try:
        rows = _rows(ledger, catalog_id)
    finally:
        ledger.close()
    named = shapes_of(keys) if shapes else [_OF_AN_ATTEMPT.sub("<one>", _ATTEMPT.sub("<attempt>", key)) for key in keys]
    return {"keys": dict(sorted(Counter(named).items())), "ledger": rows, "tasks": _tasks(configuration, catalog_id)}


def shapes_of(keys: Iterable[str]) -> list[str]:
    """Returns keys with their ids, numbers and days left out."""
    return [_NUMBER.sub("<n>", _ID.sub("<id>", _ATTEMPT.sub("<attempt>", key))) for key in keys]


def _rows(ledger: Any, catalog_id: str) -> dict[str, int]:
    """The number of rows of each table that hold something of the catalog."""
    import sqlalchemy

    from vitrine.ledger.tables import metadata

    counts = {}
    for table in metadata.sorted_tables:
        if table.name in _TRANSIENT or "catalog_id" not in table.c:
            continue
        counted = sqlalchemy.select(sqlalchemy.func.count()).select_from(table).where(table.c.catalog_id == catalog_id)
        with ledger.database.transaction() as connection:
            counts[table.name] = connection.execute(counted).scalar_one()
    return counts


def _tasks(configuration: Configuration, catalog_id: str) -> dict[str, dict[str, int]]:
    """How many tasks of each id ended in each state, over all runs of the catalog's DAGs."""
    from deploy.local.catalog_runs import open_airflow
    from deploy.local.watching.run_watch import dag_ids

    airflow = open_airflow(configuration)
    ended: dict[str, Counter[str]] = {}
    for run in airflow.runs_since(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), dag_ids=dag_ids(catalog_id)):
        for task in airflow.task_instances(run):
            ended.setdefault(f"{run.dag_id}.{task.task_id}", Counter())[str(task.state)] += 1
    airflow.close()
    return {task_id: dict(sorted(states.items())) for task_id, states in sorted(ended.items())}


def _main() -> None:
    from deploy.local.configuration import configure
    from deploy.local.layout import Layout

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--catalog", default="demo")
    parser.add_argument("--shapes", action="store_true", help="ids by their shape alone")
    options = parser.parse_args()
    layout = Layout.from_environment(os.environ)
    configuration = configure(layout, os.environ)
    print(written(main_job(configuration, catalog_id=options.catalog, shapes=options.shapes)), end="")


if __name__ == "__main__":
    _main()
