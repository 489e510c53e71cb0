"""From a source to a live release: declares the catalog, runs its DAGs and waits."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from deploy.local.airflow_api import AirflowApi, AirflowError, DagRun
from deploy.local.configuration import Configuration
from deploy.local.watching.run_watch import dag_ids, wait_for_dags, wait_for_runs
from vitrine.catalogs import Catalog, declare_catalog, read_catalogs
from vitrine.connections import open_connections, open_ledger
from vitrine.contracts.datasets import Manifest
from vitrine.errors import CatalogError, PartitionKeyError
from vitrine.ledger import Head, LivePointer
from vitrine.partitions import parse_partition_key
from vitrine.settings import Settings
from vitrine.storage import keys

Report = Callable[[str], None]
_MOST_DAYS = 31  # of which every manifest is read


@dataclass(frozen=True)
class CatalogState:
    """Where a catalog stands in the ledger.

    Attributes:
        manifests: the current manifest of each day; of a long history those of the days that were asked for.
        sources: of the current delivery of each of those days.
    """

    head: Head
    live: LivePointer | None
    manifests: Mapping[str, Manifest]
    sources: Mapping[str, str]

    @property
    def is_released(self) -> bool:
        """Whether the live release is of the head as it is now."""
        return self.live is not None and self.live.head_sequence >= self.head.head_sequence


def read_catalog_state(configuration: Configuration, catalog_id: str, *, days: Collection[str] = ()) -> CatalogState:
    """Returns the head, the live pointer and the manifests of a catalog; of one with many days only those of `days`."""
    with open_connections(configuration.settings) as (store, ledger):
        head = ledger.partitions.head(catalog_id)
        live = ledger.releases.live(catalog_id)
        manifests, sources = {}, {}
        for dt, manifest_id in head.manifests.items():
            if len(head.manifests) > _MOST_DAYS and dt not in days:
                continue
            key = f"{keys.manifest_prefix(catalog_id, dt, manifest_id)}/manifest.json"
            manifests[dt] = Manifest.from_bytes(store.get_bytes(key))
            delivery = ledger.partitions.current_delivery(catalog_id=catalog_id, dt=dt)
            if delivery is not None and delivery.delivery_id == manifests[dt].delivery_id:
                sources[dt] = delivery.source
    return CatalogState(head, live, manifests, sources)


def ingest(
    configuration: Configuration,
    catalog: Catalog,
    *,
    sources: Mapping[str, str],
    removal_is_meant: bool = False,
    report: Report = print,
) -> CatalogState:
    """Ingests a source for each day and waits until the head is released; what is under way is waited for too.

    Args:
        configuration: of the platform, which is up.
        catalog: declared when it is new.
        sources: folder or s3:// prefix by day.
        removal_is_meant: what the deliveries take out of the head is meant, however much that is.
        report: told each step.

    Raises:
        AirflowError: a run failed, or the head was not released; the message says why.
    """
    days = {parse_partition_key(dt): check_source(source) for dt, source in sources.items()}
    catalogs_file = configuration.layout.catalogs_file
    if declare_catalog(catalogs_file, catalog.model_copy(update={"space_inferred": True})):
        report(f"catalog {catalog.catalog_id}: {_vectors_in_words(catalog)} (declared in {catalogs_file})")
    airflow, layout = open_airflow(configuration), configuration.layout
    try:
        wait_for_dags(airflow, dag_ids(catalog.catalog_id), report=report)
        since = datetime.datetime.now(datetime.UTC)
        watched = dag_ids(catalog.catalog_id)
        ingest_dag = watched[0]
        said = {"removal_is_meant": True} if removal_is_meant else {}
        under_way = {
            (run.partition_key, run.conf.get("source"), bool(run.conf.get("removal_is_meant"))): run
            for run in airflow.active_runs([ingest_dag])
        }
        ingests = set()
        for dt, source in days.items():
            run = under_way.get((dt, source, removal_is_meant))
            if run is not None:  # this command was interrupted before
                report(f"the ingest of {dt} is under way already, and is waited for")
            else:
                run = airflow.trigger(ingest_dag, partition_key=dt, conf={"source": source, **said})
            ingests.add(run.run_id)
        runs = wait_for_runs(airflow, watched, since=since, asked=ingests, layout=layout, report=report)
        state = read_catalog_state(configuration, catalog.catalog_id, days=days)
        if not state.is_released and not (state.live is not None and state.live.pinned):
            # Redoing a day that changes nothing asks for no new build; an earlier one may have failed.
            report("every day is in, but not yet in the live release: asking for a build")
            since = datetime.datetime.now(datetime.UTC)
            airflow.trigger(dag_ids(catalog.catalog_id)[1], conf={"reason": f"head {state.head.head_sequence}"})
            runs += wait_for_runs(airflow, watched, since=since, asked=ingests, layout=layout, report=report)
            state = read_catalog_state(configuration, catalog.catalog_id, days=days)
    finally:
        airflow.close()
    _check_released(catalog.catalog_id, state, runs, report)
    if all(run.dag_id == ingest_dag for run in runs):  # what changes the head asks for a build
        report("nothing changed: the catalog has these deliveries already, and its live release stays")
    return state


def catalog_of(settings: Settings, catalog_id: str, *, source: str) -> Catalog:
    """Returns a catalog as declared, or a new one in the space that its first source asks for.

    As long as nothing of it is published, a space that was read off a delivery follows the next one: the first may have
    been refused for it.

    Raises:
        DeliveryError: the source holds no items files; nothing was triggered yet.
    """
    from spark_jobs.deliveries.source_inspection import inspect_source  # brings pyarrow, which no other command needs

    found = inspect_source(settings, source)
    asked = Catalog(catalog_id=catalog_id)
    if found.embedding:
        asked = Catalog(catalog_id=catalog_id, space="vectors", dimension=found.dimension)
    declared = read_catalogs(settings.catalogs_file).get(catalog_id)
    if declared is None:
        return asked
    if not declared.space_inferred or _has_partitions(settings, catalog_id):
        return declared
    return declared.model_copy(update={"space": asked.space, "dimension": asked.dimension})


def open_airflow(configuration: Configuration) -> AirflowApi:
    """Returns a client that is logged in as the generated user."""
    credentials = configuration.credentials
    return AirflowApi(configuration.airflow_url, user=credentials.airflow_user, password=credentials.airflow_password)


def check_day(dt: str) -> str:
    """Returns a day as it was given.

    Raises:
        CatalogError: it is none.
    """
    try:
        return parse_partition_key(dt)
    except PartitionKeyError as error:
        raise CatalogError(f"DT={dt} is not a day; expected one such as 2026-11-10") from error


def check_source(source: str) -> str:
    """Returns an absolute folder or file, or an s3:// prefix: services run in another folder than this command.

    Raises:
        CatalogError: it is not there.
    """
    if source.startswith("s3://"):
        return source
    path = Path(source).expanduser().resolve()
    if not path.exists():
        raise CatalogError(
            f"SOURCE={source} is not there (looked for {path}); name a folder, an items file or an s3:// prefix"
        )
    return str(path)


def catalog_id_of(source: str) -> str:
    """Returns a catalog id made from the last part of a source's name.

    Raises:
        CatalogError: nothing of the name can be used.
    """
    last = [part for part in source.rstrip("/").split("/") if part and not part.startswith("dt=")][-1:]
    stem = (last[0] if last else "").split(".")[0].lower()
    name = re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-_")[:40]
    if not re.fullmatch(r"[a-z][a-z0-9_-]+", name):
        raise CatalogError(f"no catalog id can be made from {source!r}; name one: CATALOG=<id>")
    return name


def _vectors_in_words(catalog: Catalog) -> str:
    if catalog.space == "vectors":
        return f"its delivery brings a vector of {catalog.dimension} numbers for each item, so no encoder runs"
    return "its delivery brings no vectors, so the encoder embeds its pictures"


def _has_partitions(settings: Settings, catalog_id: str) -> bool:
    with closing(open_ledger(settings)) as ledger:
        return bool(ledger.partitions.head(catalog_id).manifests)


def _check_released(catalog_id: str, state: CatalogState, runs: list[DagRun], report: Report) -> None:
    if state.live is not None and state.live.pinned:
        report(
            f"the live release {state.live.release_id} is pinned ({state.live.pin_reason}); `unpin` lets releases go on"
        )
        return
    if not state.is_released:
        done = ", ".join(f"{run.dag_id} {run.state}" for run in runs) or "none"
        live = f"head {state.live.head_sequence}" if state.live else "nothing"
        raise AirflowError(
            f"catalog {catalog_id}: expected a live release of head {state.head.head_sequence}, found {live} "
            f"(runs: {done}); look at the runs in Airflow"
        )
