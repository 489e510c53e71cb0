"""`make loop`: what it asks for, what it refuses to promote, and what it calls a failed change."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from deploy.local.light_load import LoadReport, interleaved, light_load
from deploy.local.loop import TRAIN_FORM, LoopError, check_challenger, check_load
from deploy.local.mlflow_api import ModelVersion


def load_of(*, failures: tuple[str, ...] = (), **answers: int) -> LoadReport:
    report = LoadReport(failures=list(failures))
    report.answers.update(answers)
    return report


def test_a_change_without_a_failed_request_passes() -> None:
    check_load(load_of(old=30, new=5), before="old", after="new")


@pytest.mark.parametrize(
    ("load", "says"),
    [
        (load_of(old=30, new=5, failures=("503: away",)), "1 of 36 requests failed.*503: away"),
        (load_of(old=30, new=5, other=1), "expected answers by old and new only, found some by other"),
        (load_of(old=30), "release new is live and answered none of 30"),
    ],
)
def test_a_change_that_was_felt_is_a_failure(load: LoadReport, says: str) -> None:
    with pytest.raises(LoopError, match=says):
        check_load(load, before="old", after="new")


def test_only_a_challenger_is_promoted_and_others_say_why_not() -> None:
    check_challenger(ModelVersion("2", ("challenger",), {}))

    with pytest.raises(LoopError, match=r"version 3 .* is not a challenger: no: It falls"):
        check_challenger(ModelVersion("3", (), {"vitrine.challenger": "no: It falls."}))


def test_queries_of_each_kind_take_turns_and_a_missing_kind_is_left_out() -> None:
    texts, items = [{"text": "a"}, {"text": "b"}], [{"item_id": "1"}]

    assert interleaved(texts, items, []) == [{"text": "a"}, {"item_id": "1"}, {"text": "b"}, {"item_id": "1"}]


def test_the_form_of_the_loop_is_one_that_the_dag_takes() -> None:
    from vitrine_airflow.forms import TRAIN_FORM as FIELDS
    from vitrine_airflow.training_runs import training_options

    from training.options import parse_options

    form = {**{name: parameter.value for name, parameter in FIELDS.items()}, **TRAIN_FORM}

    assert set(TRAIN_FORM) <= set(FIELDS)
    assert parse_options(training_options(form)).objective == "both"


@pytest.fixture
def answering() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that answers every second query with 503; its URL, and what it was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            body = json.dumps({"release_id": "old"}).encode()
            self.send_response(200 if len(asked) % 2 else 503)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


def test_the_load_counts_answers_by_release_and_keeps_what_failed(
    answering: tuple[str, list[dict[str, Any]]],
) -> None:
    url, asked = answering
    enough = threading.Event()

    with light_load(url, "demo", [{"text": "a"}, {"item_id": "1"}], rate=1000.0) as report:
        while report.requests < 6:
            enough.wait(0.01)

    assert report.requests == len(asked)
    assert set(report.answers) == {"old"}
    assert report.failures and all(line.startswith("503") for line in report.failures)
    assert asked[:2] == [
        {"catalog": "demo", "top_k": 10, "text": "a"},
        {"catalog": "demo", "top_k": 10, "item_id": "1"},
    ]
