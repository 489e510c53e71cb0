"""Airflow's own REST API: what the platform's commands ask of it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from deploy.local.json_answers import json_object
from vitrine.errors import VitrineError

# States of a run or a task that will change by themselves.
ACTIVE_STATES = frozenset(
    {None, "queued", "running", "scheduled", "deferred", "up_for_retry", "up_for_reschedule", "restarting"}
)


class AirflowError(VitrineError):
    """Airflow's API refused a request, or a run failed."""


@dataclass(frozen=True)
class DagRun:
    """One run of a DAG."""

    dag_id: str
    run_id: str
    state: str | None
    partition_key: str | None
    conf: Mapping[str, Any]
    started_at: datetime.datetime | None
    ended_at: datetime.datetime | None = None

    @property
    def is_active(self) -> bool:
        """Whether it will go on by itself."""
        return self.state in ACTIVE_STATES


@dataclass(frozen=True)
class TaskInstance:
    """One task of one run; `map_index` is -1 unless the task is mapped.

    Of the tasks that wait for a slot of a pool, that of the greatest `priority_weight` gets the next.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str | None
    try_number: int
    started_at: datetime.datetime | None
    pool: str
    priority_weight: int


class AirflowApi:
    """A client of one Airflow.

    Args:
        url: of the API server, without a trailing slash.
        user, password: a login that may trigger runs.
    """

    def __init__(self, url: str, *, user: str, password: str) -> None:
        self._url = url
        self._login = {"username": user, "password": password}
        # The server is on this machine: proxies of the environment are not for it.
        self._http = httpx.Client(base_url=url, timeout=60.0, trust_env=False)

    @property
    def url(self) -> str:
        """Of the API server and of the pages for people."""
        return self._url

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def has_dag(self, dag_id: str) -> bool:
        """Tells whether the DAG has been parsed."""
        return self._request("GET", f"/api/v2/dags/{dag_id}", missing_is_none=True) is not None

    def parse_again(self, dag_ids_like: str) -> None:
        """Has the files parsed at once that hold DAGs whose ids match a pattern (`%` stands for anything)."""
        query = {"dag_id_pattern": dag_ids_like, "limit": "100"}
        dags = self._request("GET", "/api/v2/dags", params=query)["dags"]
        for token in {dag["file_token"] for dag in dags}:
            self._request("PUT", f"/api/v2/parseDagFile/{token}", conflict_is_none=True)  # 409: asked for already

    def import_errors(self) -> list[str]:
        """Returns what went wrong when DAG files were parsed."""
        body = self._request("GET", "/api/v2/importErrors")
        return [f"{error['filename']}: {error['stack_trace']}" for error in body["import_errors"]]

    def unpause(self, dag_id: str) -> None:
        """Lets the DAG's runs start."""
        self._request("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})

    def trigger(
        self, dag_id: str, *, partition_key: str | None = None, conf: Mapping[str, Any] | None = None
    ) -> DagRun:
        """Makes a run and returns it.

        Raises:
            AirflowError: the DAG refused the partition key or the form.
        """
        body = {"logical_date": None, "partition_key": partition_key, "conf": dict(conf or {})}
        return _dag_run(self._request("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body))

    def runs_since(self, moment: datetime.datetime, *, dag_ids: Sequence[str]) -> list[DagRun]:
        """Returns the runs of some DAGs that are active, then those that have ended since a moment."""
        active = self.active_runs(dag_ids)  # first: what ends between the two questions is in the second answer, too
        ended = self.runs_ended_since(moment, dag_ids=dag_ids)
        return list({(run.dag_id, run.run_id): run for run in active + ended}.values())

    def active_runs(self, dag_ids: Sequence[str]) -> list[DagRun]:
        """Returns the runs of some DAGs that are queued or running, in order of creation."""
        return self._runs(dag_ids, states=["queued", "running"])

    def runs_ended_since(self, moment: datetime.datetime, *, dag_ids: Sequence[str]) -> list[DagRun]:
        """Returns the runs of some DAGs that have ended since a moment, in order of creation."""
        return self._runs(dag_ids, states=["success", "failed"], end_date_gte=moment.isoformat())

    def runs_ended_before(self, moment: datetime.datetime, *, dag_ids: Sequence[str]) -> list[DagRun]:
        """Returns the runs of some DAGs that ended well before a moment, at most the last hundred."""
        before = {"states": ["success"], "end_date_lt": moment.isoformat(), "order_by": "-end_date"}
        return list(map(_dag_run, self._page_of_runs(dag_ids, before)["dag_runs"]))

    def task_instances(self, run: DagRun) -> list[TaskInstance]:
        """Returns the tasks of a run, in no particular order."""
        return self._task_instances(_run_path(run))

    def active_tasks(self) -> list[TaskInstance]:
        """Returns the tasks of all DAGs that run or wait to, in no particular order."""
        return self._task_instances("/api/v2/dags/~/dagRuns/~", state=sorted(ACTIVE_STATES - {None}, key=str))

    def pool_slots(self) -> dict[str, int]:
        """Returns how many slots each pool has."""
        body = self._request("GET", "/api/v2/pools", params={"limit": "100"})
        return {pool["name"]: pool["slots"] for pool in body["pools"]}

    def returned(self, run: DagRun, task_id: str) -> Any:
        """Returns what a task of a run returned.

        Raises:
            AirflowError: it returned nothing, or has not ended.
        """
        path = f"{_run_path(run)}/taskInstances/{task_id}/xcomEntries/return_value"
        return self._request("GET", path)["value"]

    def log_entries(self, run: DagRun, task: TaskInstance) -> list[dict[str, Any]]:
        """Returns the log of a task's last try, an entry for each event; an empty list where there is none."""
        path = f"{_run_path(run)}/taskInstances/{task.task_id}/logs/{task.try_number}"
        query = {"map_index": str(task.map_index), "full_content": "true"}
        body = self._request("GET", path, params=query, missing_is_none=True)
        entries = body["content"] if body is not None else []
        return [entry if isinstance(entry, dict) else {"event": str(entry)} for entry in entries]

    def run_page(self, run: DagRun, task: TaskInstance | None = None) -> str:
        """Returns where a person looks at a run, or at a task of it."""
        page = f"{self._url}/dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}"
        if task is None:
            return page
        return f"{page}/tasks/{task.task_id}" + (f"/mapped/{task.map_index}" if task.map_index >= 0 else "")

    def _task_instances(self, runs: str, **query: Any) -> list[TaskInstance]:
        rows: list[dict[str, Any]] = []
        while True:
            page = {**query, "limit": "100", "offset": str(len(rows)), "order_by": "id"}
            body = self._request("GET", f"{runs}/taskInstances", params=page)
            rows += body["task_instances"]
            if not body["task_instances"] or len(rows) >= body["total_entries"]:
                return [_task_instance(row) for row in rows]

    def _runs(self, dag_ids: Sequence[str], **body: Any) -> list[DagRun]:
        rows: list[dict[str, Any]] = []
        while True:
            page = self._page_of_runs(dag_ids, {**body, "order_by": "id", "page_offset": len(rows)})
            rows += page["dag_runs"]
            if not page["dag_runs"] or len(rows) >= page["total_entries"]:
                return list(map(_dag_run, rows))

    def _page_of_runs(self, dag_ids: Sequence[str], body: Mapping[str, Any]) -> Any:
        """One request for all of the DAGs."""
        asked = {"dag_ids": list(dag_ids), "page_limit": 100, **body}
        return self._request("POST", "/api/v2/dags/~/dagRuns/list", json=asked)

    def _request(
        self, method: str, path: str, *, missing_is_none: bool = False, conflict_is_none: bool = False, **options: Any
    ) -> Any:
        try:
            if "Authorization" not in self._http.headers:
                self._authorize()
            answer = self._http.request(method, path, **options)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                self._authorize()  # tokens expire after a day
                answer = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise AirflowError(
                f"Airflow at {self._url} does not answer ({error}); `make status` says whether it runs"
            ) from error
        if answer.status_code == httpx.codes.NOT_FOUND and missing_is_none:
            return None
        if answer.status_code == httpx.codes.CONFLICT and conflict_is_none:
            return None
        if answer.is_error:
            raise AirflowError(f"Airflow refused {method} {path}: {answer.status_code} {answer.text[:800]}")
        if method != "GET" and answer.content in (b"", b"null"):  # what was asked is done, and there is nothing to tell
            return None
        return _json(answer)

    def _authorize(self) -> None:
        answer = self._http.post("/auth/token", json=self._login)
        if answer.is_error:
            raise AirflowError(
                f"Airflow at {self._url} refused the login of {self._login['username']!r}: {answer.status_code}; "
                "is it the Airflow of another checkout?"
            )
        self._http.headers["Authorization"] = f"Bearer {_json(answer)['access_token']}"


def _json(answer: httpx.Response) -> dict[str, Any]:
    return json_object(answer, program="Airflow", error=AirflowError)


def _run_path(run: DagRun) -> str:
    return f"/api/v2/dags/{run.dag_id}/dagRuns/{quote(run.run_id, safe='')}"


def _dag_run(body: Mapping[str, Any]) -> DagRun:
    return DagRun(
        dag_id=body["dag_id"],
        run_id=body["dag_run_id"],
        state=body["state"],
        partition_key=body["partition_key"],
        conf=body["conf"] or {},
        started_at=_moment(body["start_date"]),
        ended_at=_moment(body["end_date"]),
    )


def _task_instance(body: Mapping[str, Any]) -> TaskInstance:
    return TaskInstance(
        dag_id=body["dag_id"],
        run_id=body["dag_run_id"],
        task_id=body["task_id"],
        map_index=body["map_index"],
        state=body["state"],
        try_number=body["try_number"],
        started_at=_moment(body["start_date"]),
        pool=body["pool"],
        priority_weight=body["priority_weight"] or 0,
    )


def _moment(text: str | None) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(text) if text else None
