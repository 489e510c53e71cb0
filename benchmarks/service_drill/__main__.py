"""`python -m benchmarks.service_drill`: every service x (SIGKILL, SIGSTOP 20 s), on a platform of its own.

Starts a platform on free ports in a temporary folder, makes a small catalog live, and then hits one process after the
other under 20 searches a second. Prints a table and writes it to `benchmarks/results/service_drill.{md,json}`. Bounded:
a service that is not healthy after 90 s is started by hand, which counts as missed. About 12 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.private_platform import draw_day, private_environment
from benchmarks.service_drill import report
from benchmarks.service_drill.trials import Trial, run_trial, targets
from deploy.local import catalog_runs, demo, lifecycle
from deploy.local.configuration import Configuration
from deploy.local.layout import Layout
from deploy.local.light_load import fetch_queries
from vitrine.catalogs import Catalog

CATALOG_ID = "drill"
DAY = "2026-11-01"
_SHARES = ("max_reject_share", "max_undecodable_share", "max_missing_image_share", "max_duplicate_id_share")


def main(arguments: list[str] | None = None) -> int:
    """Runs the drill; fails when a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=120, help="rows of the catalog that is searched")
    parser.add_argument("--only", action="append", help="a process to hit, e.g. postgres; every one by default")
    parser.add_argument("--limit-s", type=float, default=90.0, help="after which a service is started by hand")
    parser.add_argument("--name", default="service_drill", help="of the files under benchmarks/results")
    parser.add_argument("--title", default="What a killed and a suspended service costs")
    options = parser.parse_args(arguments)
    # A drill that is terminated ends its platform too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    trials: list[Trial] = []
    folder = Path(tempfile.mkdtemp(prefix="vitrine-drill-"))
    layout = Layout(folder / "state")
    try:
        configuration = lifecycle.up(layout, private_environment(layout), report=_say)
        bodies = _make_live(configuration, folder / "catalog", items=options.items)
        for target in options.only or targets(configuration):
            for number in (signal.SIGKILL, signal.SIGSTOP):
                trial = run_trial(configuration, target, number, bodies=bodies, limit_s=options.limit_s)
                trials.append(trial)
                _say(f"{trial.target} {trial.signal}: {trial}")
                report.write(trials, name=options.name, title=options.title, seconds=time.monotonic() - started)
    finally:
        lifecycle.down(layout, report=_say)
        shutil.rmtree(folder, ignore_errors=True)
    print(report.as_markdown(trials, title=options.title, seconds=time.monotonic() - started))
    return 0 if all(trial.is_met for trial in trials) else 1


def _make_live(configuration: Configuration, folder: Path, *, items: int) -> list[dict[str, object]]:
    source = draw_day(folder, dt=DAY, rows=items)
    demo.register_encoder(configuration, _say)
    # Shares of a few faults among few rows are large.
    catalog = Catalog.model_validate({"catalog_id": CATALOG_ID, "quality": dict.fromkeys(_SHARES, 0.5)})
    catalog_runs.ingest(configuration, catalog, sources={DAY: source}, report=_say)
    queries = fetch_queries(configuration.search_url, CATALOG_ID)
    return [{"catalog": CATALOG_ID, "top_k": 10, **query} for query in queries]


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
