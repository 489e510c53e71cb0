"""The webhook by which MLflow tells Airflow at once that an alias has moved; without it the move is found by asking."""

from __future__ import annotations

import hmac
from contextlib import closing

from deploy.local.configuration import Configuration
from deploy.local.mlflow_api import MlflowApi

NAME = "vitrine-promotions"
PATH = "/vitrine/promotions"  # the route of Airflow's plugin


def register_webhook(configuration: Configuration) -> bool:
    """Brings MLflow's webhook to the address and the secret of this platform; tells whether anything had to change.

    A webhook shows its secret to nobody, so its description bears a digest of the one that it was given; keyed, since
    MLflow shows it to whoever asks, and a secret that a person chose could be guessed from it. Where a person chose the
    empty secret there is no webhook.

    Raises:
        MlflowError: MLflow refused, or does not answer.
    """
    secret = configuration.webhook_secret
    url = f"{configuration.airflow_url}{PATH}"
    description = f"Tells Airflow that an alias has moved. Made by `make up`; secret {_digest(configuration)}."
    with closing(MlflowApi(configuration.mlflow_url, login=configuration.mlflow_login)) as registry:
        ours = [webhook for webhook in registry.webhooks() if webhook.name == NAME]
        kept = ours[:1] if secret else []
        for webhook in ours[len(kept) :]:
            registry.delete_webhook(webhook.webhook_id)
        if not secret:
            return bool(ours)
        wanted = {"name": NAME, "url": url, "description": description, "secret": secret}
        if not kept:
            registry.create_webhook(**wanted)
        elif (kept[0].url, kept[0].description, kept[0].is_active) != (url, description, True):
            registry.update_webhook(kept[0].webhook_id, **wanted)
        else:
            return len(ours) > 1
        return True


def _digest(configuration: Configuration) -> str:
    key = configuration.credentials.webhook_secret.encode()
    return hmac.new(key, configuration.webhook_secret.encode(), "sha256").hexdigest()[:12]
