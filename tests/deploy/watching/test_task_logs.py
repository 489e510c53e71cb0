"""Why a task failed is found in its log, among all else that stands there; the logs are recorded from real runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.local.watching.task_logs import TaskError, read_task_error
from vitrine.errors import UnforeseenError
from vitrine.items.row_errors import at_row, unforeseen_at

LOGS = Path(__file__).parent / "recorded_logs"
CHILD = "airflow.task.hooks.vitrine_airflow.spark._BoundSparkSubmitHook"
SUBMITTED = {
    "exc_type": "AirflowException",
    "exc_value": "Cannot execute: spark-submit --master local[*]. Error code is: 1.",
}


def log(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (LOGS / f"{name}.jsonl").read_text().splitlines()]


def frame(filename: str) -> dict[str, Any]:
    return {"filename": filename, "lineno": 3, "name": "run"}


def log_of_a_child(*lines: str) -> list[dict[str, Any]]:
    said = [{"event": line, "logger": CHILD} for line in lines]
    return [*said, {"event": "Task failed with exception", "logger": "task", "error_detail": [SUBMITTED]}]


@pytest.mark.parametrize(
    ("name", "begins", "ends", "lines"),
    [
        (
            "refused_by_validation",
            "catalog broken 2026-11-01: the delivery is refused before anything of it is embedded:",
            "and run it again",
            7,
        ),
        (
            "refused_by_a_gate",
            "catalog shop: release release-92ce97452de196d54a8e is refused; nothing stays live",
            "to release it all the same, promote it by hand",
            8,
        ),
        (
            "refused_in_spark",
            "s3://vitrine/lost/deliveries/dt=2026-11-04/delivery-0dd86b07b62365c79f9f/delivery.json: the object store",
            "Internal Error",
            1,
        ),
    ],
)
def test_a_refusal_is_told_as_it_was_written_and_once(name: str, begins: str, ends: str, lines: int) -> None:
    error = read_task_error(log(name))

    assert error is not None and error.is_foreseen
    assert error.message.startswith(begins)
    assert error.message.endswith(ends)
    assert len(error.message.splitlines()) == lines
    assert error.frames == ()


def test_an_unforeseen_error_is_told_with_its_type_and_where_it_broke() -> None:
    error = read_task_error(log("unforeseen"))

    assert error == TaskError(
        "NotADirectoryError: [Errno 20] Not a directory: '/srv/vitrine/.vitrine/data_docs/odd/.arriving'",
        is_foreseen=False,
        frames=(
            "/srv/vitrine/spark_jobs/validation/data_docs.py:32 in keep_local_copy",
            "/usr/lib/python3.11/contextlib.py:137 in __enter__",
            "/srv/vitrine/vitrine/scratch.py:27 in swept_folder",
            "/usr/lib/python3.11/pathlib.py:1116 in mkdir",
        ),
    )


def test_an_error_that_was_caught_only_to_name_its_row_is_unforeseen_and_broke_where_its_cause_did() -> None:
    with pytest.raises(UnforeseenError) as caught, at_row("row 7, item 'a'"):
        raise ZeroDivisionError("division by zero")
    named = {"exc_type": "UnforeseenError", "exc_value": str(caught.value), "frames": [frame("row_errors.py")]}
    cause = {"exc_type": "ZeroDivisionError", "exc_value": "division by zero", "frames": [frame("profile.py")]}

    error = read_task_error([{"event": "Task failed with exception", "error_detail": [named, cause]}])

    assert error == TaskError(
        "row 7, item 'a': ZeroDivisionError: division by zero; take it out of the delivery to go on, and report it",
        is_foreseen=False,
        frames=("profile.py:3 in run",),
    )


def test_a_process_that_names_the_row_of_an_unforeseen_error_is_not_taken_for_one_that_refuses() -> None:
    with pytest.raises(UnforeseenError) as caught, unforeseen_at("row 7"):
        raise ZeroDivisionError("division by zero")

    error = read_task_error(log_of_a_child(f"error: {caught.value}"))

    assert error == TaskError(str(caught.value), is_foreseen=False)


def test_what_a_process_of_a_task_refuses_in_several_lines_is_told_whole_and_without_what_comes_after() -> None:
    entries = log_of_a_child(
        "26/11/30 21:49:52 INFO Executor: Running Spark version 4.2.0",
        "error: catalog shop: 3 rows are refused:",
        "  image_missing: 2",
        "Look at the quarantine",
        "26/11/30 21:49:53 INFO ShutdownHookManager: Shutdown hook called",
    )

    assert read_task_error(entries) == TaskError(
        "catalog shop: 3 rows are refused:\n  image_missing: 2\nLook at the quarantine", is_foreseen=True
    )


def test_a_process_that_broke_is_told_by_the_end_of_its_traceback() -> None:
    entries = log_of_a_child(
        "Traceback (most recent call last):",
        '  File "/srv/vitrine/spark_jobs/submit.py", line 17, in <module>',
        "    sys.exit(main())",
        '  File "/srv/vitrine/spark_jobs/profiling/job.py", line 40, in run_profile_job',
        "    rows = 1 / 0",
        "           ~~^~~",
        "ZeroDivisionError: division by zero",
        "26/11/30 21:49:53 INFO ShutdownHookManager: Shutdown hook called",
    )

    assert read_task_error(entries) == TaskError(
        "ZeroDivisionError: division by zero",
        is_foreseen=False,
        frames=(
            "/srv/vitrine/spark_jobs/submit.py:17 in <module>",
            "/srv/vitrine/spark_jobs/profiling/job.py:40 in run_profile_job",
        ),
    )


def test_a_process_that_says_nothing_is_told_by_its_status_without_its_command_line() -> None:
    error = read_task_error(log_of_a_child("26/11/30 21:49:52 INFO Executor: Running Spark version 4.2.0"))

    assert error == TaskError("spark-submit ended with status 1 and did not say why", is_foreseen=False)


def test_lines_that_sound_like_errors_are_none_in_the_log_of_a_task_that_says_why() -> None:
    [*noise, last] = log("refused_by_validation")
    said = {"event": "error: said by somebody else", "logger": "task.stderr"}

    assert read_task_error([*noise, said, last]) == read_task_error([*noise, last])


def test_a_log_that_does_not_say_why_is_not_guessed_at() -> None:
    assert read_task_error([]) is None
    assert read_task_error([{"event": "::group::Pre Execute", "logger": "task"}]) is None
