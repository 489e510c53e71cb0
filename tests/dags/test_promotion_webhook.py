"""The webhook's route: it notes a signal when MLflow signed the body, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from vitrine.ledger import Ledger
from vitrine.settings import Settings

SECRET = "a secret of this test"
# What MLflow's own test of a webhook sends: a model that nobody has.
BODY = b'{"entity": "model_version_alias", "action": "created", "data": {"name": "example_model", "alias": "example"}}'


@pytest.fixture
def client(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    from vitrine_airflow.promotion_webhook import webhook_app

    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VITRINE_WEBHOOK_SECRET", SECRET)
    return TestClient(webhook_app())


def headers(body: bytes, *, secret: str = SECRET, age_s: float = 0.0) -> dict[str, str]:
    delivery_id, timestamp = "d-1", str(int(time.time() - age_s))
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    digest = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
    return {
        "X-MLflow-Signature": f"v1,{digest}",
        "X-MLflow-Delivery-Id": delivery_id,
        "X-MLflow-Timestamp": timestamp,
    }


def test_a_body_that_mlflow_signed_is_one_signal(client: TestClient, ledger: Ledger) -> None:
    before = ledger.promotions.signals()

    answer = client.post("/promotions", content=BODY, headers=headers(BODY))

    assert (answer.status_code, ledger.promotions.signals() - before) == (202, 1)


# Signed when they are sent: a signature is believed for five minutes.
FORGED: dict[str, Callable[[], dict[str, str]]] = {
    "unsigned": dict,
    "another secret": lambda: headers(BODY, secret="another"),
    "another body": lambda: headers(BODY + b" "),
    "old": lambda: headers(BODY, age_s=86_400),
    "no timestamp": lambda: {**headers(BODY), "X-MLflow-Timestamp": "soon"},
    "endless timestamp": lambda: {**headers(BODY), "X-MLflow-Timestamp": "9" * 400},
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_what_mlflow_did_not_sign_is_refused_and_noted_nowhere(
    client: TestClient, ledger: Ledger, forge: Callable[[], dict[str, str]]
) -> None:
    before = ledger.promotions.signals()

    answer = client.post("/promotions", content=BODY, headers=forge())

    assert (answer.status_code, ledger.promotions.signals()) == (401, before)


def test_a_body_without_end_is_cut_off(client: TestClient) -> None:
    body = b"x" * 70_000

    assert client.post("/promotions", content=body, headers=headers(body)).status_code == 413


def test_without_a_secret_no_webhook_is_taken(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_WEBHOOK_SECRET", "")

    assert client.post("/promotions", content=BODY, headers=headers(BODY)).status_code == 404


def test_airflow_mounts_the_route() -> None:
    from vitrine_plugin import VitrinePlugin

    [mounted] = VitrinePlugin.fastapi_apps

    assert mounted["url_prefix"] == "/vitrine"
    assert TestClient(mounted["app"]).get("/promotions").status_code == 405
