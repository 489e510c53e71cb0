"""`make demo`: the demo catalog, through the real DAGs, to a live search."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import IO

from deploy.local import lifecycle, processes
from deploy.local.catalog_runs import CatalogState, check_source, ingest, read_catalog_state
from deploy.local.configuration import Configuration
from deploy.local.credentials import load_or_generate
from deploy.local.demo_events import upload_events
from deploy.local.layout import ROOT, Layout
from deploy.local.mlflow_api import MlflowApi
from deploy.local.supervisor import log_tail
from vitrine.catalogs import declare_catalog, get_catalog
from vitrine.errors import VitrineError

CATALOG_ID = "demo"
ITEMS = 2000

Report = Callable[[str], None]


class DemoError(VitrineError):
    """A step of the demo failed."""


def run_demo(
    layout: Layout, environment: Mapping[str, str], *, items: int = ITEMS, report: Report = print
) -> tuple[Configuration, CatalogState]:
    """Brings everything up and ingests the demo catalog; what is current already is left as it is.

    Args:
        layout: of the platform.
        environment: that settings are read from.
        items: rows of the demo catalog.
        report: told each step.

    Raises:
        VitrineError: a step failed; the message names it.
    """
    layout.make()
    catalog = get_catalog(ROOT / "examples" / "catalogs.yaml", CATALOG_ID)
    declare_catalog(layout.catalogs_file, catalog)  # before Airflow starts, so that it parses the DAGs at once
    folder = layout.state_dir / ("demo_catalog" if items == ITEMS else f"demo_catalog-{items}")
    drawing = _begin_drawing(folder, items=items, layout=layout, report=report)
    try:
        configuration = lifecycle.up(layout, environment, report)
        if drawing is not None:
            _finish_drawing(drawing, folder, layout=layout, report=report)
    except BaseException:
        if drawing is not None:
            drawing.kill()
            drawing.wait()
        raise
    register_encoder(configuration, report)
    days = {path.name.removeprefix("dt="): str(path) for path in sorted(folder.glob("dt=*"))}
    waiting = days_to_ingest(configuration, CATALOG_ID, days)
    if not waiting:
        report(f"every day of the catalog {CATALOG_ID} is ingested already")
    state = ingest(configuration, catalog, sources=waiting, report=report)
    events = upload_events(configuration.settings, catalog_id=CATALOG_ID, folder=folder)
    report(f"the event log of the demo catalog is in the store, {events:,} events")
    return configuration, state


def days_to_ingest(configuration: Configuration, catalog_id: str, days: Mapping[str, str]) -> dict[str, str]:
    """Returns those of some days, with their sources, that are not in the catalog or came from another source."""
    state = read_catalog_state(configuration, catalog_id, days=days)
    return {dt: source for dt, source in days.items() if state.sources.get(dt) != check_source(source)}


def register_encoder(configuration: Configuration, report: Report) -> None:
    """Registers the configured checkpoint, or the bootstrap encoder unless there is a champion; says what follows.

    Raises:
        DemoError: the registration failed.
    """
    # Asked here, because the command loads torch before it can tell.
    with closing(MlflowApi(configuration.mlflow_url, login=configuration.mlflow_login)) as registry:
        if configuration.settings.encoder_checkpoint is None and registry.has_alias("champion"):
            return
    started = time.monotonic()
    log = configuration.layout.logs / "register-encoder.log"
    with _open_private(log) as output:
        done = subprocess.run(
            [sys.executable, "-m", "training", "register-bootstrap"],
            # What MLflow says of its own pages is for somebody who calls it by hand.
            env={**configuration.service_environment(), "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"},
            cwd=configuration.layout.work,
            stdout=subprocess.PIPE,
            stderr=output,
            check=False,
        )
        output.write(done.stdout)
    if done.returncode != 0:
        raise DemoError(f"the encoder cannot be registered in MLflow; see {log}\n{log_tail(log)}")
    report(f"the encoder is registered after {time.monotonic() - started:.1f} s")
    for line in done.stdout.decode(errors="replace").splitlines():
        report(line)


def _begin_drawing(folder: Path, *, items: int, layout: Layout, report: Report) -> subprocess.Popen[bytes] | None:
    """Starts to draw the catalog beside the services' start; None when it is there."""
    if folder.is_dir():
        return None
    scratch = _scratch(folder)
    if scratch.exists():
        shutil.rmtree(scratch)
    report(f"drawing the demo catalog, {items:,} items")
    with _open_private(layout.logs / "demo-catalog.log") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "examples.demo_catalog", "--out", str(scratch), "--items", str(items)],
            # Marked, so that `make down` ends it when this command was killed.
            env={**os.environ, processes.MARK: processes.service_mark(load_or_generate(layout).mark, "command")},
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _finish_drawing(drawing: subprocess.Popen[bytes], folder: Path, *, layout: Layout, report: Report) -> None:
    code = drawing.wait()
    log = layout.logs / "demo-catalog.log"
    if code != 0:
        raise DemoError(f"the demo catalog cannot be drawn (exit {code}); see {log}\n{log_tail(log)}")
    _scratch(folder).rename(folder)  # a folder of this name is complete
    report(f"the demo catalog lies in {folder}")


def _scratch(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.partial")


def _open_private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb")
