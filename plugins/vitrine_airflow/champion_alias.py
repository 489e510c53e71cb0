"""Where MLflow's alias `champion` stands, by its REST API: the triggerer asks often, and would not import MLflow."""

from __future__ import annotations

import os

import httpx

from vitrine.errors import RegistryError
from vitrine.settings import Settings

_PATH = "/api/2.0/mlflow/registered-models/alias"
_TIMEOUT_S = 30.0


def champion_version(settings: Settings) -> str | None:
    """Returns the version that the alias names, or None when it names none.

    Raises:
        RegistryError: MLflow does not answer, or not as MLflow does.
    """
    from training.registry.client import CHAMPION, MODEL_NAME

    where = f"MLflow at {settings.mlflow_tracking_uri}"
    try:
        answer = httpx.get(
            settings.mlflow_tracking_uri.rstrip("/") + _PATH,
            params={"name": MODEL_NAME, "alias": CHAMPION},
            timeout=_TIMEOUT_S,
            auth=_login(),
            headers=_token(),
        )
        body = answer.json()
        if answer.is_success:
            return str(body["model_version"]["version"])
        code = body["error_code"]
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RegistryError(f"{where} does not answer: {error or type(error).__name__}; is it running?") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RegistryError(
            f"{where}: expected the alias {CHAMPION} of {MODEL_NAME} as JSON, found HTTP {answer.status_code} "
            f"{answer.text[:200]!r}; does the URI name an MLflow server?"
        ) from error
    # An alias that is not there is an invalid parameter to some versions of MLflow.
    if code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
        return None
    raise RegistryError(f"{where} refused to say where the alias stands: {code} {str(body.get('message'))[:200]}")


def _login() -> tuple[str, str] | None:
    """The user and password that MLflow's own client would send."""
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    return (user, password) if user and password else None


def _token() -> dict[str, str]:
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}
