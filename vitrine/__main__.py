"""`python -m vitrine`: the ledger's migrations, the settings page, the lineage of a search result."""

from __future__ import annotations

import argparse
import sys

from vitrine.connections import open_connections
from vitrine.errors import RequestError, VitrineError
from vitrine.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    options = command_parser().parse_args(arguments)
    if options.command == "settings":
        from vitrine.settings_page import settings_page

        print(settings_page(), end="")
        return 0
    try:
        settings = Settings.from_environment()
        if options.command == "migrate":
            with open_connections(settings) as (object_store, ledger):
                object_store.ensure_bucket()
                ledger.migrate()
            print("ledger: tables are at the newest version")
        elif not options.item:
            raise RequestError("make lineage needs ITEM=<item_id>; an answer of the search names some")
        else:
            from vitrine.lineage import print_lineage

            print_lineage(
                settings,
                catalog_id=options.catalog,
                item_id=options.item,
                release_id=options.release,
                as_json=options.json,
            )
    except VitrineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def command_parser() -> argparse.ArgumentParser:
    """Returns the parser of the commands and their options."""
    parser = argparse.ArgumentParser(prog="python -m vitrine", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="bring the ledger's tables to the newest version")
    commands.add_parser("settings", help="print docs/settings.md")
    lineage = commands.add_parser("lineage", help="trace a search result to its delivery and DAG run")
    lineage.add_argument("--catalog", required=True)
    lineage.add_argument("--item", required=True, help="item_id of the result")
    lineage.add_argument("--release", help="release_id of the answer; by default the live one")
    lineage.add_argument("--json", action="store_true", help="print JSON instead of a tree")
    return parser


if __name__ == "__main__":
    sys.exit(main())
