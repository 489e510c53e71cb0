"""`python -m monitoring`: what the platform measured about itself."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing

from monitoring.check_series import print_check_series
from vitrine.connections import open_ledger
from vitrine.errors import VitrineError
from vitrine.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m monitoring", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    checks = commands.add_parser("checks", help="print the series of one check of a catalog")
    checks.add_argument("--catalog", required=True)
    checks.add_argument("--check", required=True, help="name of the check, as the gate's report lists it")
    checks.add_argument("--limit", type=int, default=20)
    options = parser.parse_args(arguments)
    try:
        with closing(open_ledger(Settings.from_environment())) as ledger:
            print_check_series(ledger, catalog_id=options.catalog, check_name=options.check, limit=options.limit)
    except VitrineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
