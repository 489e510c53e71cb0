"""`make demo`: the demo catalog, through the real DAGs, to a live search."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
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
from vitrine.files.whole import whole_folder

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
    with _drawn_meanwhile(folder, items=items, layout=layout, report=report):
        configuration = lifecycle.up(layout, environment, report)
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


@contextmanager
def _drawn_meanwhile(folder: Path, *, items: int, layout: Layout, report: Report) -> Iterator[None]:
    """Draws the catalog while the block starts the services, and waits for it; one that is there is complete."""
    if folder.is_dir():
        yield
        return
    report(f"drawing the demo catalog, {items:,} items")
    log = layout.logs / "demo-catalog.log"
    with whole_folder(folder) as partial:
        with _open_private(log) as output:
            drawing = subprocess.Popen(
                [sys.executable, "-m", "examples.demo_catalog", "--out", str(partial), "--items", str(items)],
                # Marked, so that `make down` ends it when this command was killed.
                env={**os.environ, processes.MARK: processes.service_mark(load_or_generate(layout).mark, "command")},
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield
            code = drawing.wait()
        except BaseException:
            drawing.kill()
            drawing.wait()
            raise
        if code != 0:
            raise DemoError(f"the demo catalog cannot be drawn (exit {code}); see {log}\n{log_tail(log)}")
    report(f"the demo catalog lies in {folder}")


def _open_private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb")
