"""Encoders in MLflow: registered with their safetensors, promoted by moving the alias `champion`."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.bootstrap import ENCODER_FOLDER
from training.registry.client import (
    CHAMPION,
    DIMENSION_TAG,
    FINGERPRINT_TAG,
    MODEL_NAME,
    champion_version,
    registered_version,
    registry_client,
)
from training.registry.experiment import ensure_experiment
from training.registry.importing import import_version
from training.registry.logged_encoder import log_encoder
from vitrine.connections import open_connections, open_ledger, open_object_store
from vitrine.encoder.architecture import Architecture
from vitrine.encoder.checkpoint import materialise_checkpoint
from vitrine.encoder.publishing import is_published, publish_encoder
from vitrine.errors import EncoderError
from vitrine.files.locks import locked
from vitrine.files.scratch import scratch_folder
from vitrine.ledger import Ledger
from vitrine.processes.state import temporary_files_in
from vitrine.releases.encoder_history import live_encoders
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

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
    with open_connections(settings) as (object_store, ledger):
        object_store.ensure_bucket()
        # Nobody asked for this encoder: without a first start it is not registered.
        if settings.encoder_checkpoint is None:
            with registry_client(settings) as client:
                if champion_version(client) is None:
                    _refuse_second_first_start(settings, object_store, ledger)
        with registration_lock(settings), scratch_folder(settings, "register") as folder:
            source = settings.encoder_checkpoint or ENCODER_FOLDER
            encoder = materialise_checkpoint(source, folder / "encoder")
            dimension = Architecture.from_folder(encoder).dimension
            fingerprint = publish_encoder(encoder, object_store, ledger=ledger, state_dir=settings.state_dir)
            with registry_client(settings) as client:
                version = registered_version(client, fingerprint)
                if version is None:
                    with temporary_files_in(folder):  # MLflow copies an encoder before it uploads it
                        version = _register(client, encoder, fingerprint=fingerprint, source=str(source))
                if champion_version(client) is None:
                    _refuse_second_first_start(settings, object_store, ledger)
                    client.set_registered_model_alias(MODEL_NAME, CHAMPION, version)
    return EncoderVersion(name=MODEL_NAME, version=version, fingerprint=fingerprint, dimension=dimension)


def resolve_champion(settings: Settings) -> EncoderVersion:
    """Returns the champion, ready in the object store: a version that somebody else registered is imported first.

    Raises:
        EncoderError: there is no champion, its weights are no safetensors, it does not agree with its tags or with
            torch.
        RegistryError: MLflow cannot be reached.
    """
    return ready_champion(settings, open_object_store(settings))


def ready_champion(settings: Settings, object_store: ObjectStore, ledger: Ledger | None = None) -> EncoderVersion:
    """Resolves the champion over connections that are open already.

    Args:
        settings: of the registry.
        object_store: that it is to be in.
        ledger: None opens one where it is needed: for an import, or to refuse a champion that is gone.

    Raises:
        EncoderError, RegistryError: as `resolve_champion`.
    """
    with registry_client(settings) as client:
        champion = champion_version(client)
        if champion is None:
            with _opened(settings, object_store, ledger) as opened:
                _refuse_second_first_start(settings, object_store, opened)
            raise EncoderError(
                f"MLflow at {settings.mlflow_tracking_uri}: {MODEL_NAME} has no alias {CHAMPION}; "
                "run: python -m training register-bootstrap"
            )
        return _ready(settings, object_store, ledger, client, champion)


def resolve_version(settings: Settings, object_store: ObjectStore, named: str) -> EncoderVersion:
    """Returns any version, ready in the object store like a champion.

    Args:
        settings: of the registry.
        object_store: that it is to be in.
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
        return _ready(settings, object_store, None, client, found)


def tag_version(settings: Settings, *, version: str, key: str, value: str) -> None:
    """Sets a tag of a version, where the people who promote look; tagging again replaces the value.

    Raises:
        RegistryError: MLflow cannot be reached, or has no such version.
    """
    with registry_client(settings) as client:
        client.set_model_version_tag(MODEL_NAME, version, key, value[:TAG_MAX_LENGTH])


def current_champion(settings: Settings) -> str | None:
    """Returns the number of the version that the alias names, without importing it; None when it names none.

    Raises:
        RegistryError: MLflow cannot be reached.
    """
    with registry_client(settings) as client:
        champion = champion_version(client)
        return str(champion.version) if champion is not None else None


def _opened(settings: Settings, object_store: ObjectStore, ledger: Ledger | None) -> AbstractContextManager[Ledger]:
    """The ledger of the caller, or one of our own: a champion that is published already asks none."""
    if ledger is not None:
        return nullcontext(ledger)
    return closing(open_ledger(settings, journal=object_store))


def _refuse_second_first_start(settings: Settings, object_store: ObjectStore, ledger: Ledger) -> None:
    """Refuses to choose a champion where catalogs are live: only a person moves the alias then.

    Raises:
        EncoderError: a catalog is live under an encoder, or its live release cannot be read; the message says which,
            and how to set the alias.
    """
    live = live_encoders(object_store, ledger)
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


def _register(client: Any, encoder: Path, *, fingerprint: str, source: str) -> str:
    import mlflow

    dimension = Architecture.from_folder(encoder).dimension
    tags = {FINGERPRINT_TAG: fingerprint, DIMENSION_TAG: str(dimension)}
    with mlflow.start_run(experiment_id=ensure_experiment(client), run_name=f"register {fingerprint}"):
        mlflow.set_tags({**tags, "vitrine.source": source})
        model_uri = log_encoder(encoder, dimension=dimension)
    # The tags come with the version in one request: a version that has them was logged whole.
    return str(mlflow.register_model(model_uri, MODEL_NAME, tags=tags).version)


def _ready(
    settings: Settings, object_store: ObjectStore, ledger: Ledger | None, client: Any, found: Any
) -> EncoderVersion:
    """A version of MLflow as one of the object store, imported when it is not there."""
    if found.status != "READY":
        raise EncoderError(
            f"MLflow: {MODEL_NAME} version {found.version} is {found.status}, not READY; "
            "its logging failed: register it again"
        )
    fingerprint = found.tags.get(FINGERPRINT_TAG)
    dimension = found.tags.get(DIMENSION_TAG)
    if not (fingerprint and dimension and is_published(fingerprint, object_store)):
        with _opened(settings, object_store, ledger) as opened:
            fingerprint, dimension = import_version(settings, object_store, opened, client, found)
    return EncoderVersion(
        name=MODEL_NAME, version=str(found.version), fingerprint=fingerprint, dimension=int(dimension)
    )


def registration_lock(settings: Settings) -> AbstractContextManager[None]:
    """One registration at a time on this machine."""
    return locked(settings.state_dir / "register.lock")
