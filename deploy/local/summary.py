"""What a person needs to know at the end: what came in, what is live, and where to look with which login."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.local.catalog_runs import CatalogState
from deploy.local.configuration import Configuration
from deploy.local.lifecycle import ServiceState
from deploy.local.probes import get_json
from vitrine.connections import open_ledger
from vitrine.ledger import LivePointer


def print_catalog(configuration: Configuration, catalog_id: str, state: CatalogState, console: Console) -> None:
    """Prints a catalog's days, its live release, and every URL."""
    table = Table(title=f"catalog {catalog_id}", title_justify="left")
    for column in ("day", "rows", "accepted", "rejected", "why rejected", "manifest"):
        table.add_column(column, justify="right" if column in ("rows", "accepted", "rejected") else "left")
    reasons: Counter[str] = Counter()
    for dt, manifest in sorted(state.manifests.items()):
        reasons.update(manifest.rejected_by_reason)
        table.add_row(
            dt,
            f"{manifest.rows_in:,}",
            f"{manifest.rows_accepted:,}",
            f"{manifest.rows_rejected:,}",
            _by_reason(manifest.rejected_by_reason),
            manifest.manifest_id,
        )
    manifests = state.manifests.values()
    totals = [
        sum(rows) for rows in zip(*((m.rows_in, m.rows_accepted, m.rows_rejected) for m in manifests), strict=True)
    ]
    if len(state.manifests) > 1:
        table.add_section()
        table.add_row("all", *(f"{total:,}" for total in totals), _by_reason(reasons), "")
    console.print(table)
    console.print(f"Data Docs        {configuration.layout.data_docs}/{catalog_id}/<day>/index.html", markup=False)
    release = live_release(configuration, catalog_id)
    if release is not None:
        console.print(
            f"live release     {release['release_id']} (slot {release['slot']}, since {release['activated_at']})"
        )
        console.print(
            f"index version    {release['index_version']}: {release['items']:,} items, dimension {release['dimension']}"
        )
        console.print(f"recall@10        {_recall(release['recall_at_10'])} against exact search")
        console.print(f"encoder          version {release['encoder_version']}, {release['encoder_fingerprint']}")
    console.print()
    print_places(configuration, console)


def print_places(configuration: Configuration, console: Console) -> None:
    """Prints every URL with its login."""
    credentials = configuration.credentials
    console.print(f"search           {configuration.search_url}  (page, API: /openapi.json)")
    logins = {
        f"Airflow          {configuration.airflow_url}": (credentials.airflow_user, credentials.airflow_password),
        f"MLflow           {configuration.mlflow_url}": configuration.mlflow_login,
    }
    for place, (user, password) in logins.items():
        console.print(f"{place}  login {user} / {password}", markup=False, highlight=False)
    console.print(f"S3               {configuration.s3_url}  keys in {configuration.layout.env_file}")


def print_change(
    before: Mapping[str, Any], after: Mapping[str, Any], *, version: str, requests: int, failed: int, console: Console
) -> None:
    """Prints what a promotion changed, and how many requests failed meanwhile."""
    table = Table(title="the release changed over", title_justify="left")
    for column in ("", "release", "encoder", "version", "index version"):
        table.add_column(column)
    for name, served in (("before", before), ("after", after)):
        table.add_row(
            name,
            served["release_id"],
            served["encoder_fingerprint"],
            str(served["encoder_version"]),
            served["index_version"],
        )
    console.print(table)
    console.print(f"champion         version {version} of vitrine-encoder")
    console.print(f"failed requests  {failed} of {requests:,} while it was trained, promoted and released")


def print_status(configuration: Configuration | None, states: list[ServiceState], console: Console) -> None:
    """Prints the services, and the live release of each catalog as the ledger and the search tier know it."""
    if configuration is None:
        console.print("nothing was set up here yet; `make up` starts the services, `make demo` fills them")
        return
    table = Table()
    for column in ("service", "state", "pid", "memory", "where"):
        table.add_column(column, justify="right" if column in ("pid", "memory") else "left")
    for state in states:
        table.add_row(
            state.name,
            "running" if state.is_running else "stopped",
            str(state.pid or ""),
            f"{state.memory_bytes / 1e6:,.0f} MB" if state.is_running else "",
            state.url or "",
        )
    console.print(table)
    if not any(state.is_running and state.name == "postgres" for state in states):
        console.print("live releases are unknown while PostgreSQL is stopped")
        return
    print_places(configuration, console)
    pointers = _live_pointers(configuration)
    if not pointers:
        console.print("no catalog has a live release yet; `make demo` makes one")
    for catalog_id, pointer in sorted(pointers.items()):
        served = live_release(configuration, catalog_id)
        serving = "not served" if served is None else f"served by {served['slot']}, {served['items']:,} items"
        if served is not None and served["release_id"] != pointer.release_id:
            serving = f"the search tier still serves {served['release_id']}"
        pinned = f", pinned: {pointer.pin_reason}" if pointer.pinned else ""
        console.print(
            f"{catalog_id}: release {pointer.release_id} (generation {pointer.generation}, "
            f"since {pointer.activated_at:%Y-%m-%d %H:%M}{pinned}); {serving}"
        )


def live_release(configuration: Configuration, catalog_id: str) -> dict[str, Any] | None:
    """Returns what the search tier says that it serves for a catalog, or None when it serves nothing."""
    try:
        body = get_json(f"{configuration.search_url}/v1/release?catalog={catalog_id}")
    except (OSError, ValueError):
        return None
    return body if isinstance(body, dict) else None


def _live_pointers(configuration: Configuration) -> dict[str, LivePointer]:
    ledger = open_ledger(configuration.settings)
    try:
        return ledger.releases.all_live()
    finally:
        ledger.close()


def _by_reason(reasons: dict[str, int] | Counter[str]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))


def _recall(figures: Any) -> str:
    if not isinstance(figures, dict):
        return f"{figures:.3f}"
    measured = [f"{name} {figures[name]:.3f}" for name in ("image", "text") if figures.get(name) is not None]
    return ", ".join(measured) or "not measured"
