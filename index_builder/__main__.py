"""Builds an index step by step: resolve the head, build the index, write the item table, publish the candidate.

Each verb prints one id on standard output, which the next verb takes; what exists already is returned at once. `build`
takes the steps plan-build, encode and assemble in one go; each of them, killed at any point, goes on when run again.
"""

from __future__ import annotations

import argparse
import json
import sys

from index_builder.planning.command import add_plan_command
from vitrine.dag_run_options import add_dag_run_options, dag_run_of
from vitrine.errors import VitrineError
from vitrine.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        print(_run(options, Settings.from_environment()))
    except VitrineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m index_builder", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")

    def verb(name: str, summary: str, *names: str) -> None:
        command = verbs.add_parser(name, help=summary, description=summary)
        command.add_argument("--catalog", required=True, help="catalog id")
        for option in names:
            command.add_argument(f"--{option}", required=True, help=_HELP[option])
        if name in _RETRAINING:
            command.add_argument(
                "--retrain",
                action="store_true",
                help="train a quantizer though the newest fits; an index that is built whole has none",
            )
        if name in _MADE_BY:  # who asked, for the provenance of what is made
            add_dag_run_options(command, shown=False)

    verb("resolve", "write the embedding set of the head as it is now; prints embedding_set_id", "fingerprint")
    verb("build", "build the index and measure its recall; prints index_version", "embedding-set")
    verb("plan-build", "order the rows, train or choose the quantizer; prints plan_id", "embedding-set")
    verb("encode", "encode the parts that are not encoded yet, many in Spark; prints plan_id", "plan")
    verb("assemble", "merge, tune, check and commit the index of a plan; prints index_version", "plan")
    verb("item-table", "write the metadata in the index's order; prints item_table_id", "embedding-set", "index")
    verb(
        "publish",
        "offer the release as a candidate; prints release_id",
        "embedding-set",
        "index",
        "item-table",
        "encoder-version",
    )
    verb("recall", "print the measured recall of an index version, as JSON", "index")
    add_plan_command(verbs)
    return parser


_RETRAINING = ("build", "plan-build")
_MADE_BY = ("build", "assemble", "item-table")
_HELP = {
    "fingerprint": "the encoder's fingerprint, or external-<catalog>-<dimension>",
    "embedding-set": "embedding_set_id, as `resolve` printed it",
    "plan": "plan_id, as `plan-build` printed it",
    "index": "index_version, as `build` printed it",
    "item-table": "item_table_id, as `item-table` printed it",
    "encoder-version": "version in the model registry, for people; `external` for catalogs that bring vectors",
}


def _run(options: argparse.Namespace, settings: Settings) -> str:
    if options.verb == "plan":
        from index_builder.planning.command import run_plan

        return run_plan(options, settings)
    catalog_id = options.catalog
    if options.verb == "resolve":
        from index_builder.coverage import resolve_head

        return resolve_head(settings, catalog_id=catalog_id, fingerprint=options.fingerprint)
    if options.verb in ("build", "plan-build", "encode", "assemble"):
        return _run_build(options, settings)
    if options.verb == "item-table":
        from index_builder.metadata.item_table_build import build_item_table

        return build_item_table(
            settings,
            catalog_id=catalog_id,
            embedding_set_id=options.embedding_set,
            index_version=options.index,
            provenance=dag_run_of(options),
        )
    if options.verb == "publish":
        from index_builder.candidates import publish_candidate

        return publish_candidate(
            settings,
            catalog_id=catalog_id,
            embedding_set_id=options.embedding_set,
            index_version=options.index,
            item_table_id=options.item_table,
            encoder_version=options.encoder_version,
        )
    from index_builder.builds import read_recall

    return json.dumps(read_recall(settings, catalog_id=catalog_id, index_version=options.index), indent=2)


def _run_build(options: argparse.Namespace, settings: Settings) -> str:
    from index_builder.builds import assemble_index, build_index_version, encode_parts, plan_build

    catalog_id = options.catalog
    if options.verb == "plan-build":
        return plan_build(
            settings, catalog_id=catalog_id, embedding_set_id=options.embedding_set, retrain=options.retrain
        )
    if options.verb == "encode":
        encode_parts(settings, catalog_id=catalog_id, plan_id=options.plan)
        return str(options.plan)
    asked_by = dag_run_of(options)
    if options.verb == "assemble":
        return assemble_index(settings, catalog_id=catalog_id, plan_id=options.plan, provenance=asked_by)
    return build_index_version(
        settings,
        catalog_id=catalog_id,
        embedding_set_id=options.embedding_set,
        retrain=options.retrain,
        provenance=asked_by,
    )


if __name__ == "__main__":
    sys.exit(main())
