"""MLflow's REST API: what the platform's commands ask of the registry, without importing MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from deploy.local.json_answers import json_object
from vitrine.errors import VitrineError

MODEL_NAME = "vitrine-encoder"
_PATH = "/api/2.0/mlflow"
_ALIAS_MOVED = {"entity": "MODEL_VERSION_ALIAS", "action": "CREATED"}  # MLflow's name for each move, also the first


class MlflowError(VitrineError):
    """MLflow refused a request, or does not answer."""


@dataclass(frozen=True)
class ModelVersion:
    """A version of the encoder; `tags` say what it was made from."""

    version: str
    aliases: tuple[str, ...]
    tags: dict[str, str]


@dataclass(frozen=True)
class Webhook:
    """A webhook as MLflow shows it, which is without its secret."""

    webhook_id: str
    name: str
    url: str
    description: str
    is_active: bool


class MlflowApi:
    """A client of one MLflow.

    Args:
        url: without a trailing slash.
        login: user and password.
    """

    def __init__(self, url: str, *, login: tuple[str, str]) -> None:
        self._url = url
        self._http = httpx.Client(base_url=url, timeout=60.0, trust_env=False, auth=login)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def version(self, number: str) -> ModelVersion:
        """Returns one version.

        Raises:
            MlflowError: there is none.
        """
        return _version(self._get("model-versions/get", name=MODEL_NAME, version=number)["model_version"])

    def has_alias(self, alias: str) -> bool:
        """Tells whether an alias names a version; of a registry that cannot be asked the answer is no."""
        try:
            self._get("registered-models/alias", name=MODEL_NAME, alias=alias)
        except MlflowError:
            return False
        return True

    def set_alias(self, alias: str, number: str) -> None:
        """Moves an alias to a version; for `champion` that is the promotion."""
        self._ask("POST", "registered-models/alias", json={"name": MODEL_NAME, "alias": alias, "version": number})

    def webhooks(self) -> list[Webhook]:
        """Returns every webhook."""
        found: list[Webhook] = []
        token = ""
        while True:
            page = self._get("webhooks", max_results="100", page_token=token)
            found += [_webhook(body) for body in page.get("webhooks", ())]
            token = page.get("next_page_token", "")
            if not token:
                return found

    def create_webhook(self, **fields: str) -> None:
        """Makes a webhook for moves of aliases; `fields` are its name, url, description and secret."""
        self._ask("POST", "webhooks", json={**fields, "events": [_ALIAS_MOVED], "status": "ACTIVE"})

    def update_webhook(self, webhook_id: str, **fields: str) -> None:
        """Changes a webhook to what `create_webhook` would make."""
        self._ask("PATCH", f"webhooks/{webhook_id}", json={**fields, "events": [_ALIAS_MOVED], "status": "ACTIVE"})

    def try_webhook(self, webhook_id: str) -> int:
        """Has MLflow send a made-up move, signed as a real one; returns the status that it was answered with."""
        result = self._ask("POST", f"webhooks/{webhook_id}/test", json={})["result"]
        return int(result.get("response_status", 0))

    def delete_webhook(self, webhook_id: str) -> None:
        """Removes a webhook."""
        self._ask("DELETE", f"webhooks/{webhook_id}")

    def _get(self, path: str, **query: str) -> Any:
        return self._ask("GET", path, params=query)

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            answer = self._http.request(method, f"{_PATH}/{path}", **options)
        except httpx.HTTPError as error:
            raise MlflowError(
                f"MLflow at {self._url} does not answer ({error}); `make status` says whether it runs"
            ) from error
        if answer.is_error:
            raise MlflowError(f"MLflow refused {method} {path}: {answer.status_code} {answer.text[:400]}")
        return _json(answer) if answer.content else None


def _json(answer: httpx.Response) -> dict[str, Any]:
    return json_object(answer, program="MLflow", error=MlflowError)


def _webhook(body: dict[str, Any]) -> Webhook:
    return Webhook(
        webhook_id=body["webhook_id"],
        name=body["name"],
        url=body["url"],
        description=body.get("description", ""),
        is_active=body.get("status") == "ACTIVE",
    )


def _version(body: dict[str, Any]) -> ModelVersion:
    return ModelVersion(
        version=str(body["version"]),
        aliases=tuple(body.get("aliases", ())),
        tags={tag["key"]: tag["value"] for tag in body.get("tags", ())},
    )
