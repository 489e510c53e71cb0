"""Running the suites with Great Expectations, in pandas or in Spark, and rendering their Data Docs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from spark_jobs.validation.frames import FRAME_DDL, frame_batches, frame_schema
from spark_jobs.validation.gx import expectations_run, load_great_expectations
from spark_jobs.validation.suite_pages import write_suite_pages
from vitrine.contracts.datasets import PartFile
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from great_expectations.core import ExpectationSuite

EngineName = Literal["pandas", "spark"]


@dataclass(frozen=True)
class Outcome:
    """What one expectation found.

    Attributes:
        suite, expectation, column: which one.
        meta: as the suite declares it: `kind`, and `check` and `limit`, or `reason`.
        passed: whether the table keeps to it.
        rows: that it looked at; None where it looks at the table as a whole.
        unexpected: rows that break it.
        observed: what was found, where it looks at the table as a whole.
        error: why it could not be evaluated.
    """

    suite: str
    expectation: str
    column: str | None
    meta: dict[str, Any]
    passed: bool
    rows: int | None
    unexpected: int | None
    observed: float | None
    error: str | None

    def describe(self) -> str:
        """Says in a line what was expected and found."""
        where = f"{self.expectation}({self.column})" if self.column else self.expectation
        reason = f" of rows rejected as {self.meta['reason']}" if "reason" in self.meta else ""
        if self.error:
            return f"{self.suite}: {where}{reason}: {self.error}"
        if self.unexpected is not None:
            return f"{self.suite}: {where}{reason}: {self.unexpected} of {self.rows} rows break it"
        return f"{self.suite}: {where}{reason}: found {self.observed}"


@dataclass(frozen=True)
class SuiteRun:
    """All outcomes, and what Great Expectations itself reports, for the result JSON."""

    engine: EngineName
    outcomes: tuple[Outcome, ...]
    report: dict[str, Any]


def run_suites(
    settings: Settings,
    object_store: ObjectStore,
    *,
    parts: Sequence[PartFile],
    suites: Sequence[ExpectationSuite],
    docs_dir: Path,
) -> SuiteRun:
    """Runs the suites on candidate rows and renders Data Docs into `docs_dir`.

    In pandas up to `settings.validation_pandas_rows`, in Spark above.
    """
    if sum(part.rows for part in parts) <= settings.validation_pandas_rows:
        batches = [batch for part in parts for batch in frame_batches(object_store, part.key)]
        frame = pa.Table.from_batches(batches, schema=frame_schema()).to_pandas()
        texts = [field.name for field in frame_schema() if field.type == pa.string()]
        frame = frame.astype(dict.fromkeys(texts, object))  # the expectations do not know pandas' own `str`
        return _run(frame, engine="pandas", suites=suites, docs_dir=docs_dir)
    from spark_runtime.session import spark_session

    with spark_session(settings, name="validate") as spark:
        keys = spark.createDataFrame([(part.key,) for part in parts], "key string")
        tasks = min(len(parts), 4 * settings.spark_partitions)
        read = partial(_read_parts, object_store)
        frame = keys.repartition(tasks).mapInArrow(read, FRAME_DDL).persist()  # each expectation reads it again
        try:
            return _run(frame, engine="spark", suites=suites, docs_dir=docs_dir)
        finally:
            frame.unpersist()


def _read_parts(object_store: ObjectStore, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for key in batch.column("key").to_pylist():
            yield from frame_batches(object_store, key)


def _run(frame: Any, *, engine: EngineName, suites: Sequence[ExpectationSuite], docs_dir: Path) -> SuiteRun:
    with expectations_run():
        result = _run_checkpoint(frame, engine=engine, suites=suites)
        write_suite_pages(docs_dir, suites=suites, results=result.run_results.values())
    outcomes = [_outcome(found.suite_name, single) for found in result.run_results.values() for single in found.results]
    return SuiteRun(engine, tuple(outcomes), result.describe_dict())


def _run_checkpoint(frame: Any, *, engine: EngineName, suites: Sequence[ExpectationSuite]) -> Any:
    gx = load_great_expectations()
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

    # Without a site: the default one is a temporary folder that nobody removes, and the pages are `suite_pages`'.
    project = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        data_docs_sites={},
        analytics_enabled=False,
    )
    context = gx.get_context(mode="ephemeral", project_config=project)
    context.variables.progress_bars = {"globally": False}
    # Spark's frame is persisted already, and the source must not copy it again.
    source = context.data_sources.add_pandas("rows") if engine == "pandas" else context.data_sources.add_spark("rows")
    batch = source.add_dataframe_asset("candidate_rows").add_batch_definition_whole_dataframe("delivery")
    definitions = [
        context.validation_definitions.add(
            gx.ValidationDefinition(name=suite.name, data=batch, suite=context.suites.add(suite))
        )
        for suite in suites
    ]
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name="partition",
            validation_definitions=definitions,
            result_format={"result_format": "SUMMARY"},
        )
    )
    return checkpoint.run(batch_parameters={"dataframe": frame})


def _outcome(suite: str, single: Any) -> Outcome:
    config, found = single.expectation_config, single.result or {}
    rows, unexpected = found.get("element_count"), found.get("unexpected_count")
    observed = found.get("observed_value")
    return Outcome(
        suite=suite,
        expectation=config.type,
        column=config.kwargs.get("column"),
        meta=dict(config.meta or {}),
        passed=bool(single.success),
        rows=None if rows is None else int(rows),
        unexpected=None if unexpected is None else int(unexpected),
        observed=float(observed) if isinstance(observed, int | float) else None,
        error=_error(single.exception_info),
    )


def _error(info: Any) -> str | None:
    """Returns the message of the first exception; the report nests them by metric."""
    if not isinstance(info, dict):
        return None
    if "raised_exception" in info:
        return str(info.get("exception_message")) if info["raised_exception"] else None
    return next((message for nested in info.values() if (message := _error(nested))), None)
