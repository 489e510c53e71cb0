"""`python -m benchmarks.promotion_drill.preparation`: the steps that load the stages, each in a process of its own.

Runs in a platform's own environment. The days are ingested by the stages' functions in one Spark session: what the
drill measures comes afterwards.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from contextlib import closing
from pathlib import Path

from vitrine.connections import open_ledger
from vitrine.files.scratch import scratch_folder
from vitrine.settings import Settings

_NOISE = 0.001  # of a layer's standard deviation: another encoder, which finds the same
_ACTOR = "drill"


def main() -> None:
    """Runs one step."""
    parser = argparse.ArgumentParser(description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    prepare = steps.add_parser("prepare", help="ingest and release one day in each catalog, under the champion")
    prepare.add_argument("--source", required=True)
    prepare.add_argument("--dt", required=True)
    prepare.add_argument("--catalogs", nargs="+", required=True)
    steps.add_parser("register", help="register an encoder beside the champion; prints its version and fingerprint")
    promote = steps.add_parser("promote", help="move the alias champion; prints the Unix time of the move")
    promote.add_argument("--version", required=True)
    options = parser.parse_args()
    settings = Settings.from_environment()
    if options.step == "prepare":
        prepare_catalogs(settings, options.catalogs, source=options.source, dt=options.dt)
    elif options.step == "register":
        print(*register_variant(settings))
    else:
        print(move_champion(settings, options.version))


def prepare_catalogs(settings: Settings, catalog_ids: list[str], *, source: str, dt: str) -> None:
    """Takes a delivery to a live release in each catalog; each step is the one that its DAG's task runs."""
    from spark_runtime.session import spark_session
    from training.registry.versions import resolve_champion

    champion = resolve_champion(settings)
    with spark_session(settings, name="drill"):  # the jobs share it
        for catalog_id in catalog_ids:
            _ingest(settings, catalog_id, source=source, dt=dt, fingerprint=champion.fingerprint)
            print(f"{catalog_id}: {dt} is ingested", file=sys.stderr)
    for catalog_id in catalog_ids:
        _release(settings, catalog_id, fingerprint=champion.fingerprint, encoder_version=champion.version)
        print(f"{catalog_id}: released", file=sys.stderr)


def register_variant(settings: Settings) -> tuple[str, str]:
    """Registers the bootstrap encoder with a thousandth of noise on one layer; returns its version and fingerprint.

    Each call registers another encoder.
    """
    import torch
    from safetensors.torch import load_file, save_file

    from training.bootstrap import ENCODER_FOLDER
    from training.registry.client import MODEL_NAME, registry_client
    from vitrine.encoder.fingerprint import encoder_fingerprint

    with scratch_folder(settings, "drill") as scratch, registry_client(settings) as client:
        folder = Path(shutil.copytree(ENCODER_FOLDER, scratch / "variant"))
        tensors = load_file(folder / "model.safetensors")
        weight = tensors["visual_projection.weight"]
        seed = len(client.search_model_versions(f"name = '{MODEL_NAME}'"))
        noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
        tensors["visual_projection.weight"] = weight + _NOISE * weight.std() * noise
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        experiment = client.get_experiment_by_name("drill")
        run = client.create_run(experiment.experiment_id if experiment else client.create_experiment("drill"))
        client.log_artifacts(run.info.run_id, str(folder), "variant")
        client.set_terminated(run.info.run_id)
        version = client.create_model_version(MODEL_NAME, f"{run.info.artifact_uri}/variant", run.info.run_id).version
        return str(version), encoder_fingerprint(folder)


def move_champion(settings: Settings, version: str) -> float:
    """Moves the alias; returns the Unix time at which MLflow had answered."""
    from training.registry.client import CHAMPION, MODEL_NAME, registry_client

    with registry_client(settings) as client:
        client.set_registered_model_alias(MODEL_NAME, CHAMPION, version)
    return time.time()


def _ingest(settings: Settings, catalog_id: str, *, source: str, dt: str, fingerprint: str) -> None:
    from spark_jobs.deliveries.recording import record_delivery
    from spark_jobs.embedding import run_embed_job
    from spark_jobs.profiling.job import run_profile_job
    from spark_jobs.publication import publish_partition
    from spark_jobs.validation import validate_partition

    delivery_id = record_delivery(settings, catalog_id=catalog_id, dt=dt, source=source)
    day = {"catalog_id": catalog_id, "dt": dt}
    run_profile_job(settings, **day, delivery_id=delivery_id)
    manifest_id = validate_partition(settings, **day, delivery_id=delivery_id)
    run_embed_job(settings, catalog_id=catalog_id, fingerprint=fingerprint, manifests={dt: manifest_id})
    publish_partition(settings, **day, manifest_id=manifest_id, fingerprints=[fingerprint])


def _release(settings: Settings, catalog_id: str, *, fingerprint: str, encoder_version: str) -> None:
    from index_builder.builds import build_index_version
    from index_builder.candidates import publish_candidate
    from index_builder.coverage import resolve_head
    from index_builder.metadata.item_table_build import build_item_table
    from vitrine.releases.activation import activate_release
    from vitrine.releases.gate import gate_release
    from vitrine.releases.staging import stage_release
    from vitrine.releases.verification import verify_or_restore

    of = {"catalog_id": catalog_id}
    embedding_set_id = resolve_head(settings, **of, fingerprint=fingerprint)
    index_version = build_index_version(settings, **of, embedding_set_id=embedding_set_id)
    built = {"embedding_set_id": embedding_set_id, "index_version": index_version}
    release_id = publish_candidate(
        settings,
        **of,
        **built,
        item_table_id=build_item_table(settings, **of, **built),
        encoder_version=encoder_version,
    )
    gate_release(settings, **of, release_id=release_id, actor=_ACTOR, provenance={})
    stage_release(settings, **of, release_id=release_id)
    generation = activate_release(settings, **of, release_id=release_id, expected_generation=0, actor=_ACTOR)
    verify_or_restore(settings, **of, release_id=release_id, generation=generation, actor=_ACTOR)
    with closing(open_ledger(settings)) as ledger:
        live = ledger.releases.live(catalog_id)
    if live is None or live.release_id != release_id:
        raise SystemExit(f"{catalog_id}: expected the live release {release_id}, found {live}")


if __name__ == "__main__":
    main()
