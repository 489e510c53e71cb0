"""What small days cost: `python -m benchmarks.small_days [--demos 1] [--rounds 3] [--report FILE]`.

On a platform of its own: `make demo` (three days), then rounds of a new day of 300 rows and of the same day once more,
each by the command that people type. Several demos each get a fresh platform, and the rounds run on the last of them.
Prints the seconds of each command, and where they go: what Airflow needs to schedule and start each task, and what the
task itself takes. The platforms are temporary, and bound to the loopback interface.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.private_platform import draw_day, private_environment
from deploy.local import lifecycle
from deploy.local.configuration import Configuration, configure, direct_connections
from deploy.local.layout import ROOT, Layout

LIMITS_S = {
    "demo: whole command": 240.0,
    "demo: DAG part": 120.0,
    "a day of 300 rows": 45.0,
    "a day of no change": 15.0,
}
_CATALOG = "demo"


@dataclass(frozen=True)
class Task:
    """One task that ran.

    Attributes:
        waited_s: from the end of the task that ended last before it to its own start: what Airflow needed.
        took_s: from its start to its end.
    """

    dag: str
    task: str
    state: str
    waited_s: float
    took_s: float


@dataclass(frozen=True)
class Measured:
    """One command: all of it, its part in DAGs, and the tasks of that part in order."""

    name: str
    command_s: float
    dags_s: float
    tasks: tuple[Task, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the commands and prints the table and the account; returns 1 when a limit is exceeded."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.small_days", description=__doc__)
    parser.add_argument("--demos", type=_positive, default=1, help="on a fresh platform each (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of the small days (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=300, help="of a small day (default: %(default)s)")
    parser.add_argument("--report", type=Path, help="a JSON file for the figures")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # one that is terminated ends its platform too
    os.environ.update(direct_connections(os.environ))
    measured: list[Measured] = []
    for number in range(options.demos):
        is_last = number == options.demos - 1
        layout = Layout(Path(tempfile.mkdtemp(prefix="vitrine-days-")))
        try:
            measured += measure(layout, rounds=options.rounds if is_last else 0, rows=options.rows)
        finally:
            lifecycle.down(layout, report=_say)
            shutil.rmtree(layout.state_dir, ignore_errors=True)
    if options.report:
        options.report.write_text(json.dumps([asdict(one) for one in measured], indent=1), encoding="utf-8")
    return print_table(measured)


def measure(layout: Layout, *, rounds: int, rows: int) -> list[Measured]:
    """Runs `make demo`, then rounds of a new day and of the same day again."""
    layout.make()
    environment = private_environment(layout)
    measured = [_command("demo", ["demo"], layout, environment)]
    for number in range(rounds):
        dt = f"2026-11-{number + 4:02d}"
        source = draw_day(layout.state_dir / f"day-{number}", dt=dt, rows=rows, seed=100 + number)
        words = ["ingest", "--source", source, "--dt", dt, "--catalog", _CATALOG]
        measured.append(_command(f"a day of {rows} rows", words, layout, environment))
        measured.append(_command("a day of no change", words, layout, environment))
    return measured


def seconds_by_figure(measured: Sequence[Measured]) -> dict[str, list[float]]:
    """Returns the seconds of each figure; a demo has two, for the whole command and for its part in DAGs."""
    seconds: dict[str, list[float]] = {}
    for one in measured:
        if one.name == "demo":
            seconds.setdefault("demo: whole command", []).append(one.command_s)
            seconds.setdefault("demo: DAG part", []).append(one.dags_s)
        else:
            seconds.setdefault(one.name, []).append(one.command_s)
    return seconds


def print_table(measured: Sequence[Measured]) -> int:
    """Prints the median of each figure beside its limit; returns 1 if one is exceeded, 0 otherwise."""
    exceeded = False
    for name, found in seconds_by_figure(measured).items():
        limit = LIMITS_S.get(name)
        median = statistics.median(found)
        exceeded |= limit is not None and median > limit
        wanted = "" if limit is None else f", limit {limit:.0f} s: {'kept' if median <= limit else 'EXCEEDED'}"
        each = ", ".join(f"{one:.1f}" for one in found)
        _say(f"{name}: median {median:.1f} s of {each}{wanted}")
    return int(exceeded)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1, found {text!r}")
    return int(text)


def _command(name: str, words: list[str], layout: Layout, environment: Mapping[str, str]) -> Measured:
    since, began = datetime.datetime.now(datetime.UTC), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local", *words],
        cwd=ROOT,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode != 0:
        raise SystemExit(f"{name} failed (exit {done.returncode}):\n{done.stdout[-4000:]}")
    dags_s, tasks = _account(configure(layout, environment), since=since)
    measured = Measured(name, round(seconds, 1), dags_s, tasks)
    _say(f"{name}: {measured.command_s:.1f} s, of which {measured.dags_s:.1f} s in DAGs")
    for task in tasks:
        _say(
            f"    {task.dag:15} {task.task:22} {task.state:8} waited {task.waited_s:5.2f} s, took {task.took_s:5.2f} s"
        )
    return measured


def _account(configuration: Configuration, *, since: datetime.datetime) -> tuple[float, tuple[Task, ...]]:
    """Returns the seconds from the first run's request to the last one's end, and the tasks in order of their start."""
    user, password = configuration.credentials.airflow_user, configuration.credentials.airflow_password
    with closing(httpx.Client(base_url=configuration.airflow_url, timeout=60.0, trust_env=False)) as airflow:
        token = airflow.post("/auth/token", json={"username": user, "password": password}).json()["access_token"]
        airflow.headers["Authorization"] = f"Bearer {token}"
        query = {"updated_at_gte": since.isoformat(), "limit": "100"}
        runs = [run for run in airflow.get("/api/v2/dags/~/dagRuns", params=query).json()["dag_runs"] if _ours(run)]
        found: list[dict[str, Any]] = []
        for run in runs:
            path = f"/api/v2/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances"
            found += airflow.get(path, params={"limit": "100"}).json()["task_instances"]
    began = [task for task in found if task["start_date"] and task["end_date"]]
    began.sort(key=lambda task: task["start_date"])
    first = min(_moment(run["queued_at"]) for run in runs)
    tasks, last = [], first
    for task in began:
        start, end = _moment(task["start_date"]), _moment(task["end_date"])
        waited = max(0.0, (start - last).total_seconds())
        took = (end - start).total_seconds()
        dag = task["dag_id"].rpartition(".")[2]
        tasks.append(Task(dag, task["task_id"], task["state"], round(waited, 2), round(took, 2)))
        last = max(last, end)
    return round((max(_moment(run["end_date"]) for run in runs) - first).total_seconds(), 1), tuple(tasks)


def _ours(run: Mapping[str, Any]) -> bool:
    return run["dag_id"].startswith(f"{_CATALOG}.") and run["end_date"] is not None


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
