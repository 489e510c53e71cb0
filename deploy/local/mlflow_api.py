"""MLflow's REST API: what the platform's commands ask of the registry, without importing MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from vitrine.errors import VitrineError

MODEL_NAME = "vitrine-encoder"
_PATH = "/api/2.0/mlflow"


class MlflowError(VitrineError):
    """MLflow refused a request, or does not answer."""


@dataclass(frozen=True)
class ModelVersion:
    """A version of the encoder; `tags` say what it was made from."""

    version: str
    aliases: tuple[str, ...]
    tags: dict[str, str]


class MlflowApi:
    """A client of one MLflow.

    Args:
        url: without a trailing slash.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = httpx.Client(base_url=url, timeout=60.0, trust_env=False)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def version(self, number: str) -> ModelVersion:
        """Returns one version.

        Raises:
            MlflowError: there is none.
        """
        return _version(self._get("model-versions/get", name=MODEL_NAME, version=number)["model_version"])

    def set_alias(self, alias: str, number: str) -> None:
        """Moves an alias to a version; for `champion` that is the promotion."""
        self._ask("POST", "registered-models/alias", json={"name": MODEL_NAME, "alias": alias, "version": number})

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
        return answer.json() if answer.content else None


def _version(body: dict[str, Any]) -> ModelVersion:
    return ModelVersion(
        version=str(body["version"]),
        aliases=tuple(body.get("aliases", ())),
        tags={tag["key"]: tag["value"] for tag in body.get("tags", ())},
    )
