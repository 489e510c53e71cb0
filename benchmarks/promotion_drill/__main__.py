"""`python -m benchmarks.promotion_drill`: one encoder promoted to many catalogs, on a platform of the drill's own.

Prints, for each catalog, the seconds from the move of the alias `champion` to its first release under the new encoder.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.private_platform import draw_day, private_environment
from deploy.local import catalog_runs, demo, lifecycle
from deploy.local.airflow_api import AirflowApi, AirflowError
from deploy.local.configuration import Configuration, direct_connections
from deploy.local.layout import Layout
from deploy.local.summary import live_release
from deploy.local.watching.display import display
from deploy.local.watching.failures import explain_failure
from deploy.local.watching.run_watch import RunWatch, wait_for_dags
from vitrine.catalogs import Catalog, declare_catalog
from vitrine.connections import open_ledger
from vitrine.errors import VitrineError

DT = "2026-11-01"
_POLL_S = 1.0
_LOOK_S = 4.0  # between two looks at Airflow, which has other work
_ITEMS = 60
_DELIVERED = "delivered"  # in the state folder: the delivery that every catalog gets
_SHARES = ("max_reject_share", "max_undecodable_share", "max_missing_image_share", "max_duplicate_id_share")


class DrillError(VitrineError):
    """The drill could not be held to its end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the drill and prints its table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.promotion_drill", description=__doc__)
    parser.add_argument("--catalogs", type=int, default=10, help="how many (default: %(default)s)")
    parser.add_argument("--items", type=int, help=f"rows of each (default: {_ITEMS}, or what a kept state holds)")
    parser.add_argument(
        "--at-once", type=int, help="catalogs that are built side by side (default: what the platform does)"
    )
    parser.add_argument("--timeout-s", type=float, default=900.0, help="of the promotion (default: %(default)s)")
    parser.add_argument("--report", type=Path, help="a JSON file for the figures, with the times of every task")
    parser.add_argument(
        "--state", type=Path, help="a state folder that is kept: the next drill there finds its catalogs released"
    )
    options = parser.parse_args(arguments)
    if options.items is not None and options.state is not None and (options.state / _DELIVERED).is_dir():
        parser.error(
            f"{options.state} holds the rows of the drill before, so --items would change nothing; leave it out, or "
            "name another state folder"
        )
    # A drill that is terminated ends its platform too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ.update(direct_connections(os.environ))
    layout = Layout((options.state or Path(tempfile.mkdtemp(prefix="vitrine-drill-"))).absolute())
    try:
        figures = hold_drill(
            layout,
            catalogs=options.catalogs,
            items=_ITEMS if options.items is None else options.items,
            at_once=options.at_once,
            timeout_s=options.timeout_s,
        )
    except VitrineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        lifecycle.down(layout, report=_say)
        if options.state is None:
            shutil.rmtree(layout.state_dir, ignore_errors=True)
    if options.report:
        options.report.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    released = sorted(figures["released_s"].items(), key=lambda pair: pair[1])
    for catalog_id, seconds in released:
        _say(f"{catalog_id}: released under the new encoder after {seconds:.0f} s")
    first, last = released[0], released[-1]
    _say(f"first release after {first[1]:.0f} s ({first[0]}), last after {last[1]:.0f} s ({last[0]})")
    return 0


def hold_drill(layout: Layout, *, catalogs: int, items: int, at_once: int | None, timeout_s: float) -> dict[str, Any]:
    """Makes a platform with released catalogs, promotes another encoder, and waits for all of its releases.

    Args:
        layout: of a state folder of the drill's own.
        catalogs: how many; the middle one is the platform's default.
        items: rows of the delivery that each gets, unless the state folder holds one.
        at_once: catalogs that are built side by side; None: as the platform does, also one that has no such setting.
        timeout_s: of the promotion, from the move of the alias to the last release.

    Returns:
        `released_s`: by catalog, seconds from the move of the alias; `tasks`: when each task of the promotion ran.

    Raises:
        VitrineError: a run failed, or the promotion took longer.
    """
    catalog_ids = [f"shop-{number:02d}" for number in range(1, catalogs + 1)]
    default = catalog_ids[catalogs // 2]
    layout.make()
    quality = dict.fromkeys(_SHARES, 0.5)  # shares of a few faults among few rows are large
    for catalog_id in catalog_ids:  # before Airflow starts, so that it parses the DAGs at once
        declare_catalog(layout.catalogs_file, Catalog.model_validate({"catalog_id": catalog_id, "quality": quality}))
    source = _draw(layout.state_dir / _DELIVERED, items=items)
    configuration = lifecycle.up(layout, _environment(layout, default, at_once=at_once), _say)
    demo.register_encoder(configuration, _say)
    airflow = catalog_runs.open_airflow(configuration)
    with closing(airflow):
        wait_for_dags(airflow, ["watch_promotions"])
        _await_first_promotion(configuration)
        if missing := _not_released(configuration, catalog_ids):
            _say(f"ingesting and releasing {len(missing)} catalogs under the first encoder")
            _step(configuration, "prepare", "--source", source, "--dt", DT, "--catalogs", *missing)
        version, fingerprint = _step(configuration, "register").split()[-2:]
        wait_for_dags(airflow, [f"{name}.{dag}" for name in catalog_ids for dag in ("build_index", "release_index")])
        since = datetime.datetime.now(datetime.UTC)
        moved_at = float(_step(configuration, "promote", "--version", version).split()[-1])
        _say(f"the alias champion stands on version {version}; the default catalog is {default}")
        dag_ids = ["watch_promotions"]
        dag_ids += [f"{name}.{dag}" for dag in ("build_index", "release_index") for name in catalog_ids]
        released = _await_releases(
            configuration,
            airflow,
            catalog_ids,
            fingerprint,
            dag_ids,
            since=since,
            moved_at=moved_at,
            timeout_s=timeout_s,
        )
        return {"released_s": released, "tasks": _timeline(airflow, dag_ids, since=since, moved_at=moved_at)}


def _await_releases(
    configuration: Configuration,
    airflow: AirflowApi,
    catalog_ids: Sequence[str],
    fingerprint: str,
    dag_ids: Sequence[str],
    *,
    since: datetime.datetime,
    moved_at: float,
    timeout_s: float,
) -> dict[str, float]:
    released: dict[str, float] = {}
    checked = 0.0
    watch = RunWatch(airflow, dag_ids, since=since)
    with display() as show:
        while len(released) < len(catalog_ids):
            for catalog_id in catalog_ids:
                if catalog_id in released:
                    continue
                served = live_release(configuration, catalog_id)
                if served is not None and served["encoder_fingerprint"] == fingerprint:
                    released[catalog_id] = time.time() - moved_at
                    _say(f"{catalog_id}: released after {released[catalog_id]:.0f} s")
            elapsed = time.time() - moved_at
            if elapsed > timeout_s:
                waiting = ", ".join(sorted(set(catalog_ids) - released.keys()))
                raise DrillError(f"after {timeout_s:.0f} s the new encoder is not released in {waiting}")
            if time.monotonic() - checked > _LOOK_S:
                for run in watch.look():
                    if run.state == "failed":
                        raise AirflowError(explain_failure(airflow, run, layout=configuration.layout))
                show(watch.stages())
                checked = time.monotonic()
            time.sleep(_POLL_S)
    return released


def _timeline(
    airflow: AirflowApi, dag_ids: Sequence[str], *, since: datetime.datetime, moved_at: float
) -> list[dict[str, Any]]:
    """When each task ran, in seconds since the move of the alias, in the order in which they began."""
    began = [
        (task.started_at.timestamp() - moved_at, run.dag_id, task)
        for run in airflow.runs_since(since, dag_ids=dag_ids)
        for task in airflow.task_instances(run)
        if task.started_at is not None
    ]
    return [
        {"began_s": round(seconds, 1), "dag_id": dag_id, "task_id": task.task_id, "state": task.state}
        for seconds, dag_id, task in sorted(began, key=lambda entry: entry[0])
    ]


def _await_first_promotion(configuration: Configuration) -> None:
    """Waits until the first encoder's promotion is handled, which is none of the drill's."""
    deadline = time.monotonic() + 300.0
    with closing(open_ledger(configuration.settings)) as ledger:
        while (newest := ledger.promotions.newest()) is None or newest.state != "accepted":
            if time.monotonic() > deadline:
                raise DrillError("the first encoder was not accepted within 300 s; see watch_promotions in Airflow")
            time.sleep(_POLL_S)


def _not_released(configuration: Configuration, catalog_ids: Sequence[str]) -> list[str]:
    with closing(open_ledger(configuration.settings)) as ledger:
        return [catalog_id for catalog_id in catalog_ids if ledger.releases.live(catalog_id) is None]


def _step(configuration: Configuration, *words: str) -> str:
    """Runs one step of the set-up in the platform's environment; returns what it printed."""
    log = configuration.layout.logs / f"drill-{words[0]}.log"
    with log.open("ab") as errors:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.promotion_drill.preparation", *words],
            env=configuration.service_environment(),
            cwd=configuration.layout.work,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-25:])
        raise DrillError(f"the drill's step {words[0]} failed (exit {done.returncode}):\n{tail}")
    return done.stdout


def _draw(folder: Path, *, items: int) -> str:
    """Draws one day of the demo catalog, which every catalog gets, unless it is there; returns its folder."""
    return str(folder / f"dt={DT}") if folder.is_dir() else draw_day(folder, dt=DT, rows=items)


def _environment(layout: Layout, default: str, *, at_once: int | None = None) -> Mapping[str, str]:
    chosen = {} if at_once is None else {"VITRINE_PROMOTION_CATALOGS_AT_ONCE": str(at_once)}
    return private_environment(layout, VITRINE_DEFAULT_CATALOG=default, **chosen)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
