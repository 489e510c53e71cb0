"""The experiment in MLflow that holds the runs of all encoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitrine.errors import EncoderError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

EXPERIMENT = "vitrine-encoders"


def ensure_experiment(client: MlflowClient, name: str = EXPERIMENT) -> str:
    """Returns the id of an experiment, made by the first who asks; it does not become the process's active one.

    Raises:
        EncoderError: somebody deleted it.
        MlflowException: MLflow failed.
    """
    found = client.get_experiment_by_name(name) or _created(client, name)
    if found.lifecycle_stage != "active":
        raise EncoderError(
            f"MLflow: the experiment {name} was deleted, and runs cannot be logged to it; restore it "
            f"(mlflow experiments restore --experiment-id {found.experiment_id}) and run this again"
        )
    return str(found.experiment_id)


def _created(client: MlflowClient, name: str) -> Experiment:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_experiment(client.create_experiment(name))
    except MlflowException as error:
        winner = client.get_experiment_by_name(name) if error.error_code == "RESOURCE_ALREADY_EXISTS" else None
        if winner is None:
            raise
        return winner
