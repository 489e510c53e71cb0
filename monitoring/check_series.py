"""Prints the series of check results that validations, builds and gates left in the ledger."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from vitrine.ledger import Ledger


def print_check_series(ledger: Ledger, *, catalog_id: str, check_name: str, limit: int) -> None:
    """Prints the newest results of one check of a catalog, newest first, as a table."""
    table = Table(title=f"{catalog_id}: {check_name}", title_justify="left")
    for column in ("measured", "subject", "value", "passed"):
        table.add_column(column)
    for result in ledger.checks.series(catalog_id=catalog_id, check_name=check_name, limit=limit):
        value = "absent" if result["value"] is None else f"{result['value']:.4f}"
        passed = {True: "yes", False: "no", None: "not gated"}[result["passed"]]
        table.add_row(f"{result['measured_at']:%Y-%m-%d %H:%M:%S}", result["subject_id"], value, passed)
    Console().print(table)
