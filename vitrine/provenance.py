"""Provenance: which code and which run made an object. It stands beside the object and enters no id."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from importlib import metadata

from vitrine.code_version import code_version
from vitrine.contracts.document import Provenance
from vitrine.errors import ObjectMissingError
from vitrine.ledger import Ledger
from vitrine.storage import ObjectStore
from vitrine.write_once import put_once

PROVENANCE_FILE = "provenance.json"


def describe_run(run: Mapping[str, str] | None, *, packages: tuple[str, ...] = ()) -> Provenance:
    """Returns the provenance of what is being made now.

    Args:
        run: `dag_id` and `dag_run_id`, when a DAG asked for it.
        packages: distributions whose versions matter for the result.
    """
    run = run or {}
    return Provenance(
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        code_version=run.get("code_version") or code_version(),
        dag_id=run.get("dag_id"),
        dag_run_id=run.get("dag_run_id"),
        versions={name: metadata.version(name) for name in packages},
    )


def put_provenance(object_store: ObjectStore, ledger: Ledger, prefix: str, provenance: Provenance) -> None:
    """Writes who made an object beside it; what the first maker wrote stands."""
    put_once(object_store, ledger, f"{prefix}/{PROVENANCE_FILE}", provenance.to_bytes())


def read_provenance(object_store: ObjectStore, prefix: str) -> Provenance | None:
    """Returns the provenance beside an object, or None when there is none."""
    try:
        return Provenance.from_bytes(object_store.get_bytes(f"{prefix}/{PROVENANCE_FILE}"))
    except ObjectMissingError:
        return None
