"""Probes answer whatever a port says: half an answer, another program's, or no HTTP at all."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from deploy.local.airflow_api import AirflowApi, AirflowError
from deploy.local.light_load import LoadError, fetch_queries, light_load
from deploy.local.mlflow_api import MlflowApi
from deploy.local.probes import airflow_component_beats, answers_http, get_json
from deploy.local.summary import live_release
from tests.deploy.test_status import configuration_in

Answering = Callable[[bytes], str]


def as_json(body: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


CUT = b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"a"'
BROKEN_HTTP = {
    "garbage": b"\x00\x01garbage\r\n\r\n",
    "a header of 70 kB": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    "a redirect cut in its body": b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 500\r\n\r\n{",
}
NOT_AIRFLOW = {
    "an answer cut in its body": CUT,
    "a list": as_json("[]"),
    "a component that is a list": as_json('{"scheduler": [1]}'),
    "no heartbeat yet": as_json('{"scheduler": {"status": "healthy", "latest_scheduler_heartbeat": null}}'),
    "a heartbeat that is no time": as_json('{"scheduler": {"status": "healthy", "latest_scheduler_heartbeat": "x"}}'),
}


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Starts servers that give every connection the same bytes and close it."""
    servers: list[socket.socket] = []

    def serve(answer: bytes) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def run() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)
                    connection.sendall(answer)

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}"

    yield serve
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


@pytest.mark.parametrize("answer", BROKEN_HTTP.values(), ids=BROKEN_HTTP.keys())
def test_what_is_no_http_is_no_answer(answering: Answering, answer: bytes) -> None:
    assert not answers_http(answering(answer), refusals_count=True)


@pytest.mark.parametrize(
    "answer", [*BROKEN_HTTP.values(), *NOT_AIRFLOW.values()], ids=[*BROKEN_HTTP.keys(), *NOT_AIRFLOW.keys()]
)
def test_a_component_beats_only_when_airflow_says_so(answering: Answering, answer: bytes) -> None:
    assert not airflow_component_beats(answering(answer), "scheduler", since=0.0)


def test_a_component_beats_when_its_heartbeat_is_young_enough(answering: Answering) -> None:
    beat = datetime.now(UTC)
    url = answering(
        as_json(json.dumps({"scheduler": {"status": "healthy", "latest_scheduler_heartbeat": beat.isoformat()}}))
    )

    assert airflow_component_beats(url, "scheduler", since=time.time() - 60)
    assert not airflow_component_beats(url, "scheduler", since=time.time() + 60)


@pytest.mark.parametrize("answer", [*BROKEN_HTTP.values(), CUT], ids=[*BROKEN_HTTP.keys(), "cut"])
def test_json_that_does_not_arrive_whole_is_an_error_that_callers_know(answering: Answering, answer: bytes) -> None:
    with pytest.raises((OSError, ValueError)):
        get_json(answering(answer))


@pytest.mark.parametrize("answer", [CUT, as_json("[]"), as_json('{"detail": "no such page"}')])
def test_another_programs_answer_is_no_live_release(
    answering: Answering, answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = answering(answer)
    monkeypatch.setattr("deploy.local.configuration.Configuration.search_url", url)

    assert live_release(configuration_in(tmp_path), "demo") is None


@pytest.mark.parametrize("answer", [CUT, as_json("[]"), as_json("<html>")])
def test_clients_say_in_words_what_is_no_answer_of_theirs(answering: Answering, answer: bytes) -> None:
    url = answering(answer)

    with pytest.raises(AirflowError, match="Airflow"):
        AirflowApi(url, user="admin", password="x").has_dag("demo.ingest_catalog")
    assert not MlflowApi(url, login=("admin", "x")).has_alias("champion")
    with pytest.raises(LoadError, match="expected 8 items of catalog demo"):
        fetch_queries(url, "demo")


class _Airflow(BaseHTTPRequestHandler):
    """Answers as Airflow does when files are to be parsed again: with `null`."""

    def do_GET(self) -> None:
        self._say(b'{"dags": [{"file_token": "a-file"}]}')

    def do_POST(self) -> None:
        self._say(b'{"access_token": "x"}')

    def do_PUT(self) -> None:
        self.server.parsed = self.path  # type: ignore[attr-defined]
        self._say(b"null")

    def log_message(self, *_: object) -> None:
        pass

    def _say(self, body: bytes) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_an_airflow_that_has_nothing_to_tell_has_done_what_it_was_asked_for() -> None:
    with HTTPServer(("127.0.0.1", 0), _Airflow) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            AirflowApi(f"http://127.0.0.1:{server.server_port}", user="admin", password="x").parse_again("%ingest")
        finally:
            server.shutdown()

        assert server.parsed == "/api/v2/parseDagFile/a-file"  # type: ignore[attr-defined]


def test_a_load_counts_an_answer_that_is_none_as_a_failure_and_goes_on(answering: Answering) -> None:
    enough = threading.Event()

    with light_load(answering(as_json("[]")), "demo", [{"text": "a"}], rate=1000.0) as report:
        deadline = time.monotonic() + 60
        while report.requests < 2 and time.monotonic() < deadline:
            enough.wait(0.01)

    assert len(report.failures) >= 2
