"""Builds an index step by step: resolve the head, build the index, write the item table, publish the candidate.

Each verb prints one id on standard output, which the next verb takes; what exists already is returned at once.
"""

from __future__ import annotations

import argparse
import json
import sys

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

    verb("resolve", "write the embedding set of the head as it is now; prints embedding_set_id", "fingerprint")
    verb("build", "build the index and measure its recall; prints index_version", "embedding-set")
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
    return parser


_HELP = {
    "fingerprint": "the encoder's fingerprint, or external-<catalog>-<dimension>",
    "embedding-set": "embedding_set_id, as `resolve` printed it",
    "index": "index_version, as `build` printed it",
    "item-table": "item_table_id, as `item-table` printed it",
    "encoder-version": "version in the model registry, for people; `external` for catalogs that bring vectors",
}


def _run(options: argparse.Namespace, settings: Settings) -> str:
    catalog_id = options.catalog
    if options.verb == "resolve":
        from index_builder.heads import resolve_head

        return resolve_head(settings, catalog_id=catalog_id, fingerprint=options.fingerprint)
    if options.verb == "build":
        from index_builder.builds import build_index_version

        return build_index_version(settings, catalog_id=catalog_id, embedding_set_id=options.embedding_set)
    if options.verb == "item-table":
        from index_builder.item_tables import build_item_table

        return build_item_table(
            settings, catalog_id=catalog_id, embedding_set_id=options.embedding_set, index_version=options.index
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


if __name__ == "__main__":
    sys.exit(main())
