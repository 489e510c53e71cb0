"""`python -m spark_jobs`: deliver, inspect, profile, validate, embed, publish and mine, by hand and without Airflow."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
from collections.abc import Sequence

from spark_jobs.mine_command import add_mine_command, run_mine_command
from vitrine.dag_run_options import add_dag_run_options, dag_run_of
from vitrine.errors import SettingsError, VitrineError
from vitrine.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("py4j").setLevel(logging.WARNING)
    try:
        _COMMANDS[options.command](Settings.from_environment(), options)
    except VitrineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def run_without_spark(settings: Settings, arguments: Sequence[str]) -> bool:
    """Runs one command in this process, unless it needs Spark; tells whether it ran.

    Raises:
        VitrineError: the command failed.
    """
    from spark_runtime.session import SparkIsNeeded, without_spark

    options = _parser().parse_args(list(arguments))
    try:
        with without_spark():
            _COMMANDS[options.command](settings, options)
    except SparkIsNeeded:
        return False
    return True


def _deliver(settings: Settings, options: argparse.Namespace) -> None:
    from spark_jobs.deliveries.recording import record_delivery

    delivery_id = record_delivery(
        settings,
        catalog_id=options.catalog,
        dt=options.dt,
        source=options.source,
        full=options.full,
        removal_is_meant=options.removal_is_meant,
        provenance=dag_run_of(options),
    )
    print(delivery_id)


def _inspect(settings: Settings, options: argparse.Namespace) -> None:
    from spark_jobs.deliveries.source_inspection import inspect_source

    summary = dataclasses.asdict(inspect_source(settings, options.source))
    if options.json:
        print(json.dumps(summary))
    else:
        for name, value in summary.items():
            print(f"{name}: {', '.join(value) if isinstance(value, tuple) else value}")


def _profile(settings: Settings, options: argparse.Namespace) -> None:
    from spark_jobs.profiling.job import run_profile_job

    profile = run_profile_job(settings, catalog_id=options.catalog, dt=options.dt, delivery_id=options.delivery_id)
    rejected = sum(profile.rejected_by_reason.values())
    reasons = ", ".join(f"{reason} {count}" for reason, count in profile.rejected_by_reason.items())
    print(
        f"profile of {options.delivery_id}: {profile.rows:,} rows, {rejected:,} rejected"
        + (f" ({reasons})" if reasons else "")
        + (", committed before" if profile.reused else f", {profile.seconds:.1f} s")
    )


def _validate(settings: Settings, options: argparse.Namespace) -> None:
    from spark_jobs.validation import validate_partition

    manifest_id = validate_partition(
        settings,
        catalog_id=options.catalog,
        dt=options.dt,
        delivery_id=options.delivery_id,
        provenance=dag_run_of(options),
    )
    print(manifest_id)


def _embed(settings: Settings, options: argparse.Namespace) -> None:
    from spark_jobs.embedding import run_embed_job

    if options.head == (options.dt is not None):
        raise SettingsError("embed takes either --head, or --manifest-id with the manifest's day as --dt")
    manifests = None if options.head else {options.dt: options.manifest_id}
    summary = run_embed_job(settings, catalog_id=options.catalog, fingerprint=options.fingerprint, manifests=manifests)
    print(f"embedded {summary.images:,} images in {summary.blocks} blocks, {summary.seconds:.1f} s")


def _publish(settings: Settings, options: argparse.Namespace) -> None:
    from spark_jobs.publication import publish_partition

    head_sequence = publish_partition(
        settings,
        catalog_id=options.catalog,
        dt=options.dt,
        manifest_id=options.manifest_id,
        fingerprints=options.fingerprint,
    )
    print(head_sequence)


def _mine(settings: Settings, options: argparse.Namespace) -> None:
    run_mine_command(settings, options, provenance=dag_run_of(options))


_COMMANDS = {
    "deliver": _deliver,
    "inspect": _inspect,
    "profile": _profile,
    "validate": _validate,
    "embed": _embed,
    "publish": _publish,
    "mine": _mine,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m spark_jobs", description=__doc__)
    verbs = parser.add_subparsers(dest="command", required=True)

    deliver = verbs.add_parser("deliver", help="copy a day's items as delivered and make them the day's delivery")
    _add_day(deliver)
    add_dag_run_options(deliver)
    deliver.add_argument("--source", help="a folder, an items file or an s3:// prefix; none: the recorded delivery")
    deliver.add_argument("--full", action=argparse.BooleanOptionalAction, help="the delivery removes what it omits")
    deliver.add_argument("--removal-is-meant", action="store_true", help="what it removes is meant, however much it is")

    inspect = verbs.add_parser("inspect", help="look into a source: its files, and whether items bring embeddings")
    inspect.add_argument("--source", required=True)
    inspect.add_argument("--json", action="store_true", help="print one JSON object")

    for verb, text in (
        ("profile", "judge the rows and images of a delivery, and pack the accepted images (many: Spark)"),
        ("validate", "check the candidate rows, and write the manifest"),
    ):
        step = verbs.add_parser(verb, help=text)
        _add_day(step)
        step.add_argument("--delivery-id", required=True)
        if verb == "validate":
            add_dag_run_options(step)

    embed = verbs.add_parser("embed", help="embed what has no vector under an encoder (much: Spark)")
    embed.add_argument("--catalog", required=True)
    embed.add_argument("--fingerprint", required=True, help="of the encoder")
    what = embed.add_mutually_exclusive_group(required=True)
    what.add_argument("--head", action="store_true", help="all current manifests of the catalog")
    what.add_argument("--manifest-id", help="one manifest, with --dt")
    embed.add_argument("--dt", help="the manifest's day")

    publish = verbs.add_parser("publish", help="make a manifest the current one of its day")
    _add_day(publish)
    publish.add_argument("--manifest-id", required=True)
    publish.add_argument("--fingerprint", action="append", required=True, help="of each encoder that must cover it")

    add_dag_run_options(add_mine_command(verbs))
    return parser


def _add_day(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--catalog", required=True)
    parser.add_argument("--dt", required=True, help="the day, YYYY-MM-DD")


if __name__ == "__main__":
    sys.exit(main())
