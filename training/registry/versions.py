"""Encoders in MLflow: registered with their safetensors, promoted by moving the alias `champion`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.bootstrap import ENCODER_FOLDER
from training.registry.experiment import ensure_experiment
from training.registry.logged_encoder import log_encoder
from vitrine.connections import open_ledger, open_object_store
from vitrine.encoder.architecture import Architecture
from vitrine.encoder.checkpoint import materialise_checkpoint
from vitrine.encoder.fingerprint import encoder_fingerprint
from vitrine.encoder.publishing import is_published, publish_encoder
from vitrine.errors import EncoderError, RegistryError
from vitrine.files.locks import locked
from vitrine.files.scratch import scratch_folder
from vitrine.processes.state import environment, environment_defaults, temporary_files_in
from vitrine.releases.encoder_history import live_encoders
from vitrine.settings import Settings

MODEL_NAME = "vitrine-encoder"
CHAMPION = "champion"
FINGERPRINT_TAG = "vitrine.fingerprint"
DIMENSION_TAG = "vitrine.dimension"
TAG_MAX_LENGTH = 2_000


@dataclass(frozen=True)
class EncoderVersion:
    """One version in the registry.

    Attributes:
        name: of the registered model.
        version: its number.
        fingerprint: of the encoder, which is in the object store.
        dimension: of its embeddings.
    """

    name: str
    version: str
    fingerprint: str
    dimension: int


def register_bootstrap(settings: Settings) -> EncoderVersion:
    """Registers the configured checkpoint, or the bootstrap encoder; the first one of a platform becomes the champion.

    Running again, also after being killed anywhere, registers nothing twice and moves no alias that is set: promoting
    is a person's act. So is setting the alias anew once a catalog is live: an alias or a version that was deleted is no
    first start.

    Returns:
        The version of that encoder, which need not be the champion.

    Raises:
        EncoderError: the checkpoint cannot be used, MLflow cannot be reached, or a catalog is live and there is no
            champion; that version is registered all the same, when it was asked for by a checkpoint.
    """
    object_store = open_object_store(settings)
    object_store.ensure_bucket()
    if settings.encoder_checkpoint is None:  # nobody asked for this encoder: without a first start it is not registered
        with registry_client(settings) as client:
            if champion_version(client) is None:
                refuse_second_first_start(settings)
    with (
        registration_lock(settings),
        scratch_folder(settings, "register") as folder,
    ):
        source = settings.encoder_checkpoint or ENCODER_FOLDER
        encoder = materialise_checkpoint(source, folder / "encoder")
        dimension = Architecture.from_folder(encoder).dimension
        with closing(open_ledger(settings)) as ledger:
            fingerprint = publish_encoder(encoder, object_store, ledger=ledger, state_dir=settings.state_dir)
        with registry_client(settings) as client:
            version = registered_version(client, fingerprint)
            if version is None:
                with temporary_files_in(folder):  # MLflow copies an encoder before it uploads it
                    version = _register(client, encoder, fingerprint=fingerprint, source=str(source))
            if champion_version(client) is None:
                refuse_second_first_start(settings)
                client.set_registered_model_alias(MODEL_NAME, CHAMPION, version)
    return EncoderVersion(name=MODEL_NAME, version=version, fingerprint=fingerprint, dimension=dimension)


def refuse_second_first_start(settings: Settings) -> None:
    """Refuses to choose a champion where catalogs are live: only a person moves the alias then.

    Raises:
        EncoderError: a catalog is live under an encoder, or its live release cannot be read; the message says which,
            and how to set the alias.
    """
    with closing(open_ledger(settings)) as ledger:
        live = live_encoders(open_object_store(settings), ledger)
    if not live:
        return
    encoders = sorted(
        {
            f"{release.fingerprint} (version {release.encoder_version})" if release else "a release that cannot be read"
            for release in live.values()
        }
    )
    raise EncoderError(
        f"MLflow at {settings.mlflow_tracking_uri}: {MODEL_NAME} has no alias {CHAMPION}, though {', '.join(live)} "
        f"{'is' if len(live) == 1 else 'are'} live under {', '.join(encoders)}: the alias or its version was deleted. "
        "Searches go on. Set the alias yourself, in MLflow's UI, to the version that is to serve; if that version was "
        "deleted, register it again first (docs/encoders.md, Promote)"
    )


def resolve_champion(settings: Settings) -> EncoderVersion:
    """Returns the champion, ready in the object store: a version that somebody else registered is imported first.

    Raises:
        EncoderError: there is no champion, its weights are no safetensors, it does not agree with its tags or with
            torch.
        RegistryError: MLflow cannot be reached.
    """
    with registry_client(settings) as client:
        champion = champion_version(client)
        if champion is None:
            refuse_second_first_start(settings)
            raise EncoderError(
                f"MLflow at {settings.mlflow_tracking_uri}: {MODEL_NAME} has no alias {CHAMPION}; "
                "run: python -m training register-bootstrap"
            )
        return _ready(settings, client, champion)


def resolve_version(settings: Settings, named: str) -> EncoderVersion:
    """Returns any version, ready in the object store like a champion.

    Args:
        settings: of the registry.
        named: an alias such as `challenger`, or a number; either may follow `vitrine-encoder/`, which by itself is the
            champion.

    Raises:
        EncoderError: there is no such version, or what `resolve_champion` raises.
    """
    from mlflow.exceptions import MlflowException

    wanted = CHAMPION if named == MODEL_NAME else named.removeprefix(f"{MODEL_NAME}/")
    with registry_client(settings) as client:
        try:
            found = (
                client.get_model_version(MODEL_NAME, wanted)
                if wanted.isdecimal()
                else client.get_model_version_by_alias(MODEL_NAME, wanted)
            )
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise EncoderError(
                f"MLflow at {settings.mlflow_tracking_uri}: {MODEL_NAME} has no version or alias {wanted!r}; give a "
                "number, an alias, a fingerprint, `bootstrap` or an encoder folder"
            ) from error
        return _ready(settings, client, found)


def _ready(settings: Settings, client: Any, found: Any) -> EncoderVersion:
    """A version of MLflow as one of the object store, imported when it is not there."""
    if found.status != "READY":
        raise EncoderError(
            f"MLflow: {MODEL_NAME} version {found.version} is {found.status}, not READY; "
            "its logging failed: register it again"
        )
    fingerprint = found.tags.get(FINGERPRINT_TAG)
    dimension = found.tags.get(DIMENSION_TAG)
    if not (fingerprint and dimension and is_published(fingerprint, open_object_store(settings))):
        fingerprint, dimension = _import(settings, client, found)
    return EncoderVersion(
        name=MODEL_NAME, version=str(found.version), fingerprint=fingerprint, dimension=int(dimension)
    )


def tag_version(settings: Settings, *, version: str, key: str, value: str) -> None:
    """Sets a tag of a version, where the people who promote look; tagging again replaces the value.

    Raises:
        RegistryError: MLflow cannot be reached, or has no such version.
    """
    with registry_client(settings) as client:
        client.set_model_version_tag(MODEL_NAME, version, key, value[:TAG_MAX_LENGTH])


def registered_version(client: Any, fingerprint: str) -> str | None:
    """Returns the oldest whole version with that fingerprint."""
    versions = client.search_model_versions(f"name = '{MODEL_NAME}'")
    same = [
        int(version.version)
        for version in versions
        if version.tags.get(FINGERPRINT_TAG) == fingerprint and version.status == "READY"
    ]
    return str(min(same)) if same else None


def _register(client: Any, encoder: Path, *, fingerprint: str, source: str) -> str:
    import mlflow

    dimension = Architecture.from_folder(encoder).dimension
    tags = {FINGERPRINT_TAG: fingerprint, DIMENSION_TAG: str(dimension)}
    with mlflow.start_run(experiment_id=ensure_experiment(client), run_name=f"register {fingerprint}"):
        mlflow.set_tags({**tags, "vitrine.source": source})
        model_uri = log_encoder(encoder, dimension=dimension)
    # The tags come with the version in one request: a version that has them was logged whole.
    return str(mlflow.register_model(model_uri, MODEL_NAME, tags=tags).version)


def champion_version(client: Any) -> Any | None:
    """Returns the version that the alias names."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(MODEL_NAME, CHAMPION)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def current_champion(settings: Settings) -> str | None:
    """Returns the number of the version that the alias names, without importing it; None when it names none.

    Raises:
        RegistryError: MLflow cannot be reached.
    """
    with registry_client(settings) as client:
        champion = champion_version(client)
        return str(champion.version) if champion is not None else None


def _import(settings: Settings, client: Any, champion: Any) -> tuple[str, str]:
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
            with closing(open_ledger(settings)) as ledger:
                publish_encoder(folders[0], open_object_store(settings), ledger=ledger, state_dir=settings.state_dir)
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


@contextmanager
def registry_client(settings: Settings) -> Iterator[Any]:
    """Opens MLflow's client; its errors and the network's become RegistryError.

    In the block MLflow's fluent functions, such as `mlflow.start_run`, ask the same server.
    """
    uri = settings.mlflow_tracking_uri
    with (
        # The first is read while mlflow is imported; without the second it tries again for minutes.
        environment_defaults(MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_HTTP_REQUEST_MAX_RETRIES="3"),
        environment(MLFLOW_TRACKING_URI=uri, MLFLOW_REGISTRY_URI=uri),
    ):
        import mlflow
        import requests
        from mlflow.exceptions import MlflowException

        try:
            yield mlflow.MlflowClient(uri, uri)
        except (MlflowException, requests.RequestException) as error:
            raise RegistryError(f"MLflow at {uri} failed: {error}; is it running (make status)?") from error


def registration_lock(settings: Settings) -> AbstractContextManager[None]:
    """One registration at a time on this machine."""
    return locked(settings.state_dir / "register.lock")
