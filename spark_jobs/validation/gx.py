"""Great Expectations, imported as this stage needs it: in silence, and without the parts that no suite asks for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vitrine.process_state import (
    environment_defaults,
    garbage_kept,
    logger_level,
    modules_left_out,
    present_objects_frozen,
)

# Great Expectations can do without them, and neither engine here comes to them: histograms in Spark, Spark Connect,
# BigQuery. Of the 2.6 s that its import takes they are 0.5 s; the garbage collector's rounds are another 0.4 s.
_LEFT_OUT = ("pyspark.ml", "pyspark.sql.connect", "google.auth", "google.oauth2")


def load_great_expectations() -> Any:
    """Imports the package; whoever uses a module of it calls this first."""
    with (
        # Read when the package is imported: it would send usage figures over the network.
        environment_defaults(GX_ANALYTICS_ENABLED="false"),
        _quiet(),
        modules_left_out(*_LEFT_OUT),
        garbage_kept(),
    ):
        import great_expectations

    return great_expectations


@contextmanager
def expectations_run() -> Iterator[None]:
    """Runs suites or renders their pages without 250 lines of log, and a quarter sooner: 0.9 s for 300 rows."""
    with _quiet(), present_objects_frozen():
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Drops what Great Expectations tells of its own workings; its warnings stay."""
    with logger_level("great_expectations", logging.WARNING):
        yield
