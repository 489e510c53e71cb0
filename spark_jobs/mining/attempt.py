"""One attempt at a plan, in Spark: samples with their splits, positives, hard negatives, and the parts of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark_jobs.mining.parts import WrittenParts, write_parts
from spark_jobs.mining.relations.events import read_events
from spark_jobs.mining.relations.grades import read_grades
from spark_jobs.mining.relations.judged_pairs import co_click_pairs, thumbs_pairs
from spark_jobs.mining.relations.negatives import category_candidates, chosen_negatives, graded_candidates
from spark_jobs.mining.relations.neighbours import neighbour_candidates
from spark_jobs.mining.relations.positives import grade_pairs, view_pairs, within_splits
from spark_jobs.mining.relations.propensity import estimate_propensities
from spark_jobs.mining.samples.head_rows import read_head
from spark_jobs.mining.samples.locations import with_pack_rows
from spark_jobs.mining.samples.near_duplicates import with_near_duplicate_groups
from spark_jobs.mining.samples.splitting import with_splits
from spark_jobs.mining.samples.vector_shards import write_shards
from spark_runtime.session import spark_session
from spark_runtime.stage_progress import shown_stages
from vitrine.contracts.training_sets import (
    MiningPlan,
    NegativeSource,
    Split,
    TrainingSet,
    negative_schema,
    pair_schema,
    sample_schema,
)
from vitrine.errors import ContractError
from vitrine.head.embedding_sets import read_embedding_set
from vitrine.head.reader import head_manifests
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_SPARE_NEIGHBOURS = 8  # beyond twice those that are wanted: neighbours are often positives


def mine(
    settings: Settings, object_store: ObjectStore, plan: MiningPlan, *, attempt_id: str, scratch: str
) -> TrainingSet:
    """Writes the parts of one attempt and returns the training set that they make; nothing is committed.

    Raises:
        ContractError: no item is left to learn from.
    """
    label = f"mine {plan.catalog_id}"
    with spark_session(settings, name=label) as spark, shown_stages(spark, label=label):
        return _Attempt(spark, settings, object_store, plan, attempt_id=attempt_id, scratch=scratch).run()


class _Attempt:
    def __init__(
        self,
        spark: SparkSession,
        settings: Settings,
        object_store: ObjectStore,
        plan: MiningPlan,
        *,
        attempt_id: str,
        scratch: str,
    ) -> None:
        self._spark, self._settings, self._plan = spark, settings, plan
        self._attempt_id, self._scratch = attempt_id, scratch
        self._store = object_store
        self._prefix = keys.training_set_prefix(plan.catalog_id, plan.training_set_id)
        self._tasks = settings.spark_partitions

    def run(self) -> TrainingSet:
        plan, parameters = self._plan, self._plan.parameters
        samples, left_out = self._samples()
        count = samples.count()
        if not count:
            raise ContractError(
                f"catalog {plan.catalog_id}: of the items up to {plan.as_of} none is left to learn from (left out: "
                f"{left_out}); deliver more, or change the days of the splits"
            )
        events = self._keep(read_events(self._spark, self._settings, plan))
        # Only what was seen before the train window ended: how people look is learned there too.
        propensities = estimate_propensities(
            events.where(f"split = '{Split.TRAIN}'"), min_propensity=parameters.min_propensity
        )
        grades = read_grades(self._spark, self._settings, plan.grades_key) if plan.grades_key else None
        pairs = co_click_pairs(events, propensities, parameters).unionByName(thumbs_pairs(events))
        pairs = pairs.unionByName(
            view_pairs(samples, views_per_anchor=parameters.views_per_anchor, seed=parameters.seed)
        )
        if grades is not None:
            pairs = pairs.unionByName(grade_pairs(grades, samples))
        pairs = self._keep(within_splits(pairs, samples))
        fingerprint, negatives = self._negatives(samples, count, pairs, grades)
        located = with_pack_rows(samples, self._settings, catalog_id=plan.catalog_id, tasks=self._tasks)
        written = {
            "samples": self._write("samples", located, sample_schema(), count, ["split"]),
            "pairs": self._write("pairs", _renamed(pairs, "positive"), pair_schema(), None, ["split", "source"]),
            "negatives": self._write(
                "negatives", _renamed(negatives, "negative"), negative_schema(), None, ["split", "source"]
            ),
        }
        return TrainingSet(
            training_set_id=plan.training_set_id,
            **{name: getattr(plan, name) for name in _FROM_PLAN},
            fingerprint=fingerprint,
            events=events.count(),
            samples=written["samples"].parts,
            pairs=written["pairs"].parts,
            negatives=written["negatives"].parts,
            samples_by_split={split: number for (split,), number in written["samples"].counts.items()},
            pairs_by_split=_nested(written["pairs"]),
            negatives_by_split=_nested(written["negatives"]),
            left_out=left_out,
            propensities={str(position): round(value, 6) for position, value in propensities.items()},
        )

    def _samples(self) -> tuple[DataFrame, dict[str, int]]:
        from pyspark.sql import functions as f

        plan = self._plan
        manifests = head_manifests(self._store, plan.catalog_id, plan.manifests)
        head = read_head(self._spark, self._settings, manifests)
        rows = self._keep(head.withColumn("first_seen", f.coalesce("created_at", f.to_timestamp("first_dt"))))
        pictured = rows.where("image_sha256 is not null")
        grouped = with_near_duplicate_groups(
            pictured, max_distance=plan.parameters.near_duplicate_distance, tasks=self._tasks
        )
        split = self._keep(with_splits(grouped, plan.window, tasks=self._tasks))
        left_out = {row.left_out: row["count"] for row in split.groupBy("left_out").count().collect() if row.left_out}
        if missing := rows.where("image_sha256 is null").count():
            left_out["no_image"] = missing
        text = f.date_format("created_at", "yyyy-MM-dd'T'HH:mm:ss'Z'")
        return split.where("split is not null").withColumn("created_at", text), dict(sorted(left_out.items()))

    def _negatives(
        self, samples: DataFrame, count: int, pairs: DataFrame, grades: DataFrame | None
    ) -> tuple[str | None, DataFrame]:
        plan, parameters = self._plan, self._plan.parameters
        candidates = category_candidates(samples, per_anchor=parameters.category_negatives, seed=parameters.seed)
        found = chosen_negatives(
            candidates, pairs, per_anchor=parameters.category_negatives, source=NegativeSource.CATEGORY
        )
        if grades is not None:
            graded = graded_candidates(grades, samples)
            found = found.unionByName(chosen_negatives(graded, pairs, per_anchor=_ALL, source=NegativeSource.GRADE))
        if plan.embedding_set_id is None:
            return None, self._keep(found)
        embedding_set = read_embedding_set(self._store, plan.catalog_id, plan.embedding_set_id)
        if parameters.neighbour_negatives:
            shards = write_shards(
                self._spark,
                self._settings,
                samples,
                embedding_set=embedding_set,
                parameters=parameters,
                count=count,
                prefix=self._scratch,
            )
            top_k = 2 * parameters.neighbour_negatives + _SPARE_NEIGHBOURS
            near = neighbour_candidates(self._spark, self._settings, shards, top_k=top_k)
            found = found.unionByName(
                chosen_negatives(
                    near, pairs, per_anchor=parameters.neighbour_negatives, source=NegativeSource.NEIGHBOUR
                )
            )
        return embedding_set.fingerprint, self._keep(found)

    def _write(self, kind: str, frame: DataFrame, schema: Any, rows: int | None, count_by: list[str]) -> WrittenParts:
        return write_parts(
            frame,
            self._settings,
            schema=schema,
            prefix=f"{self._prefix}/{kind}",
            attempt_id=self._attempt_id,
            rows=frame.count() if rows is None else rows,
            count_by=count_by,
        )

    def _keep(self, frame: DataFrame) -> DataFrame:
        # Cut off from the plan that made it: planning plans of plans took longer than running them. An executor that is
        # lost with its share fails the job, and the next run begins again.
        return frame.localCheckpoint(eager=False)


_ALL = 2**31 - 1
_FROM_PLAN = ("catalog_id", "as_of", "window", "parameters", "manifests", "embedding_set_id")


def _renamed(frame: DataFrame, other: str) -> DataFrame:
    name = "positive_item_id" if other == "positive" else "hard_negative_item_id"
    return frame.withColumnRenamed("anchor", "anchor_item_id").withColumnRenamed(other, name)


def _nested(written: WrittenParts) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (split, source), number in written.counts.items():
        nested.setdefault(split, {})[source] = number
    return nested
