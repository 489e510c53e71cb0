"""A version that somebody else registered, brought from MLflow's artifacts to the object store."""

from __future__ import annotations

from typing import Any

from training.registry.client import DIMENSION_TAG, FINGERPRINT_TAG, MODEL_NAME
from vitrine.encoder.architecture import Architecture
from vitrine.encoder.fingerprint import encoder_fingerprint
from vitrine.encoder.publishing import publish_encoder
from vitrine.errors import EncoderError
from vitrine.files.scratch import scratch_folder
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore


def import_version(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, client: Any, champion: Any
) -> tuple[str, str]:
    """Publishes a version from its artifacts and tags it."""
    import mlflow

    what = f"MLflow: {MODEL_NAME} version {champion.version}"
    with scratch_folder(settings, "import") as scratch:
        mlflow.artifacts.download_artifacts(
            artifact_uri=f"models:/{MODEL_NAME}/{champion.version}",
            dst_path=str(scratch),
            tracking_uri=settings.mlflow_tracking_uri,
        )
        folders = sorted(path.parent for path in scratch.rglob("config.json"))
        if len(folders) != 1:
            raise EncoderError(
                f"{what}: expected one encoder folder (config.json, model.safetensors, preprocessor_config.json, "
                f"tokenizer.json) among its artifacts, found {len(folders)}"
            )
        try:
            dimension = str(Architecture.from_folder(folders[0]).dimension)
            fingerprint = encoder_fingerprint(folders[0])
            expected = {FINGERPRINT_TAG: fingerprint, DIMENSION_TAG: dimension}
            for tag, found in expected.items():
                if champion.tags.get(tag, found) != found:
                    raise EncoderError(f"its tag {tag} says {champion.tags[tag]}, its artifacts are {found}")
            publish_encoder(folders[0], object_store, ledger=ledger, state_dir=settings.state_dir)
        except EncoderError as error:
            raise EncoderError(f"{what} cannot be the champion: {error}; move the alias to another version") from error
        except (ValueError, KeyError, TypeError) as error:  # JSON that is cut short, or says something else
            raise EncoderError(
                f"{what} cannot be the champion: its configuration cannot be read ({type(error).__name__}: {error}); "
                "move the alias to another version"
            ) from error
    for tag, value in expected.items():
        client.set_model_version_tag(MODEL_NAME, champion.version, tag, value)
    return fingerprint, dimension
