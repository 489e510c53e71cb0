"""What a person reads first when a run failed: the refusal, then which task it was, then where to go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.local.airflow_api import DagRun, TaskInstance
from deploy.local.layout import Layout
from deploy.local.watching.failures import describe_failure, task_log
from deploy.local.watching.task_logs import TaskError

RUN = DagRun("shop.ingest_catalog", "manual__1", "failed", "2026-11-01", {"source": "/data/my shop"}, None)
PAGE = "http://127.0.0.1:8080/dags/shop.ingest_catalog/runs/manual__1/tasks/validate_items"
REFUSAL = TaskError("catalog shop 2026-11-01: the delivery is refused:\n  max_reject_share: NOT MET", is_foreseen=True)
FAULT = TaskError("ZeroDivisionError: division by zero", is_foreseen=False, frames=("/srv/a.py:3 in divide",))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def task(task_id: str = "validate_items", **given: Any) -> TaskInstance:
    values = {
        "map_index": -1,
        "state": "failed",
        "try_number": 1,
        "started_at": None,
        "pool": "x",
        "priority_weight": 1,
    }
    return TaskInstance(RUN.dag_id, RUN.run_id, task_id, **{**values, **given})


def told(error: TaskError | None, layout: Layout, failed: TaskInstance | None = None, run: DagRun = RUN) -> list[str]:
    return describe_failure(run, failed or task(), error, page=PAGE, layout=layout).splitlines()


def test_a_refusal_comes_first_then_one_line_of_what_failed_then_the_way_on(layout: Layout) -> None:
    page = layout.data_docs / "shop" / "2026-11-01" / "index.html"
    page.parent.mkdir(parents=True)
    page.touch()

    assert told(REFUSAL, layout) == [
        "catalog shop 2026-11-01: the delivery is refused:",
        "  max_reject_share: NOT MET",
        "",
        "The ingest of 2026-11-01 for catalog shop failed while validating rows (task validate_items, try 1)",
        f"  Data Docs    {page}",
        f"  in Airflow   {PAGE}",
        "  once fixed   make ingest 'SOURCE=/data/my shop' DT=2026-11-01 CATALOG=shop",
    ]


def test_data_docs_are_named_only_of_a_validation_and_where_they_are(layout: Layout) -> None:
    assert not any("Data Docs" in line for line in told(REFUSAL, layout))


def test_an_unforeseen_error_says_where_it_broke_and_where_the_whole_log_lies(layout: Layout) -> None:
    log = task_log(layout, RUN, task(map_index=2, try_number=3))
    log.parent.mkdir(parents=True)
    log.touch()

    lines = told(FAULT, layout, task(map_index=2, try_number=3))

    assert lines[:2] == ["ZeroDivisionError: division by zero", "  at /srv/a.py:3 in divide"]
    assert f"  whole log    {log}" in lines
    assert log.relative_to(layout.airflow_home).parts[-2:] == ("map_index=2", "attempt=3.log")


def test_a_log_that_does_not_say_why_is_named_itself(layout: Layout) -> None:
    log = task_log(layout, RUN, task())
    log.parent.mkdir(parents=True)
    log.touch()

    lines = told(None, layout)

    assert lines[0] == "the task failed, and its log does not say why"
    assert f"  whole log    {log}" in lines


def test_a_run_without_a_source_names_no_delivery_to_repeat(layout: Layout) -> None:
    build = DagRun("shop.build_index", "head-1", "failed", None, {}, None)

    lines = told(FAULT, layout, task("assemble_index"), build)

    assert "The build for catalog shop failed while building the index (task assemble_index, try 1)" in lines
    assert not any("make ingest" in line for line in lines)


def test_what_would_act_on_the_terminal_is_written_out_and_lines_stay_lines(layout: Layout) -> None:
    hostile = TaskError("items \x1b[2J\x9b31m\u202e.csv:\n  not a table", is_foreseen=True)

    lines = told(hostile, layout)

    assert lines[:2] == ["items \\x1b[2J\\x9b31m\\u202e.csv:", "  not a table"]
