"""A new encoder, from the move of its alias in MLflow to the live search and back again, while people search."""

from __future__ import annotations

import datetime
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.airflow_api import AirflowError
from deploy.local.light_load import LoadReport, fetch_queries, light_load
from deploy.local.mlflow_api import MlflowApi
from deploy.local.watching.failures import explain_failure
from deploy.local.watching.run_watch import dag_ids, wait_for_runs
from tests.end_to_end.conftest import CATALOG_ID, Released, live_release
from tests.end_to_end.embedded import embedded_keys, head_keys
from tests.platform_fixture import Platform
from tests.training.registry.test_versions import log_elsewhere
from tests.waiting import wait_for
from training.bootstrap import ENCODER_FOLDER
from vitrine.connections import open_ledger
from vitrine.encoder.fingerprint import encoder_fingerprint

pytestmark = pytest.mark.timeout(3000)

DAGS = ("watch_promotions", *dag_ids(CATALOG_ID))


@dataclass(frozen=True)
class Move:
    """What one move of the alias `champion` led to.

    Attributes:
        live: what the search tier said of its release afterwards.
        observed_by: what told the platform of the move.
        tags: of the version that became the champion.
        embedded: the key of each vector, by fingerprint of the encoder.
    """

    live: dict[str, object]
    observed_by: str
    tags: dict[str, str]
    embedded: dict[str, list[str]]


@dataclass(frozen=True)
class Change:
    """The encoder changed and changed back, all under one load."""

    fingerprint: str
    there: Move
    back: Move
    load: LoadReport


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bootstrap encoder with a thousandth of noise on one layer: another encoder that finds about the same."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(ENCODER_FOLDER, tmp_path_factory.mktemp("encoder") / "tuned"))
    tensors = load_file(folder / "model.safetensors")
    weight = tensors["visual_projection.weight"]
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(3))
    tensors["visual_projection.weight"] = weight + 0.001 * weight.std() * noise
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def changed(platform: Platform, released: Released, tuned: Path) -> Change:
    """The alias moved to the new encoder and, once that was released everywhere, back to the old one."""
    fingerprint, before = encoder_fingerprint(tuned), str(released.live["encoder_fingerprint"])
    old = str(released.live["encoder_version"])
    with pytest.MonkeyPatch.context() as patched:
        for name, value in zip(("USERNAME", "PASSWORD"), platform.configuration.mlflow_login, strict=True):
            patched.setenv(f"MLFLOW_TRACKING_{name}", value)
        new = log_elsewhere(platform.settings, tuned)
    queries = fetch_queries(platform.search_url, CATALOG_ID)

    with light_load(platform.search_url, CATALOG_ID, queries) as load:
        there = _move(platform, version=new, fingerprint=fingerprint, encoders=(before, fingerprint))
        back = _move(platform, version=old, fingerprint=before, encoders=(before, fingerprint))

    return Change(fingerprint, there, back, load)


def test_no_request_fails_and_each_answer_is_of_one_of_the_two_releases(released: Released, changed: Change) -> None:
    old, new = str(released.live["release_id"]), str(changed.there.live["release_id"])

    assert changed.load.failures == []
    assert set(changed.load.answers) == {old, new}


def test_the_new_release_is_of_the_promoted_encoder_and_mlflow_says_that_it_passed(
    released: Released, changed: Change
) -> None:
    live = changed.there.live

    assert live["encoder_fingerprint"] == changed.fingerprint != released.live["encoder_fingerprint"]
    assert live["index_version"] != released.live["index_version"]
    assert live["items"] == released.live["items"]
    assert changed.there.tags["vitrine.promotion"] == "accepted"
    assert changed.there.tags[f"vitrine.gate.{CATALOG_ID}"].startswith("passed")


def test_the_head_is_embedded_once_under_the_new_encoder_and_not_again_under_the_old(
    platform: Platform, released: Released, changed: Change
) -> None:
    before = str(released.live["encoder_fingerprint"])
    embedded = changed.there.embedded

    assert len(embedded[changed.fingerprint]) == len(set(embedded[changed.fingerprint]))
    assert set(head_keys(platform)) <= set(embedded[changed.fingerprint])
    assert len(embedded[before]) == len(set(embedded[before]))


def test_moving_the_alias_back_serves_the_old_release_and_embeds_nothing(released: Released, changed: Change) -> None:
    live = {name: value for name, value in changed.back.live.items() if name not in ("activated_at", "slot")}

    assert live == {name: released.live[name] for name in live}
    assert changed.back.embedded == changed.there.embedded


def test_mlflow_itself_told_of_both_moves(changed: Change) -> None:
    assert (changed.there.observed_by, changed.back.observed_by) == ("webhook", "webhook")


def _move(platform: Platform, *, version: str, fingerprint: str, encoders: tuple[str, ...]) -> Move:
    """Moves the alias and waits until a release of its encoder is served and all that it started has ended."""
    since = datetime.datetime.now(datetime.UTC)
    registry = MlflowApi(platform.mlflow_url, login=platform.configuration.mlflow_login)
    try:
        registry.set_alias("champion", version)
        wait_for(lambda: _serves(platform, fingerprint, since), what=f"a release of {fingerprint}", every_s=1.0)
        wait_for_runs(platform.airflow, DAGS, since=since)
        tags = registry.version(version).tags
    finally:
        registry.close()
    ledger = open_ledger(platform.settings)
    promotion = ledger.promotions.newest()
    ledger.close()
    assert promotion is not None and promotion.model_version == version
    return Move(
        live=live_release(platform),
        observed_by=promotion.observed_by,
        tags=tags,
        embedded={encoder: sorted(embedded_keys(platform, encoder)) for encoder in encoders},
    )


def _serves(platform: Platform, fingerprint: str, since: datetime.datetime) -> bool:
    for run in platform.airflow.runs_since(since, dag_ids=DAGS):
        if run.state == "failed":
            raise AirflowError(explain_failure(platform.airflow, run))
    return live_release(platform)["encoder_fingerprint"] == fingerprint
