"""The profile's steps in Spark, for deliveries of any size."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from spark_jobs.profiling.engine import HASH_RANGE, Work
from vitrine.contracts.items import Reason

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_BROADCAST_ROWS = 100_000  # 64 bytes each: 6 MB on the driver and on each executor


class SparkEngine:
    """Runs the steps of a profile on a session.

    Args:
        spark: on this machine or a cluster.
        kept: whose end lets go of the frames that are kept.
    """

    def __init__(self, spark: SparkSession, kept: ExitStack) -> None:
        self._spark = spark
        self._kept = kept

    def each(self, count: int, work: Work, schema: pa.Schema) -> DataFrame:
        """Runs `work` on each of the numbers up to `count`, one task each."""
        return self.apply(self._spark.range(0, count, 1, count), work, schema)

    def apply(self, frame: DataFrame, work: Work, schema: pa.Schema) -> DataFrame:
        """Hands the batches of each task to `work`, in a Python worker."""
        from pyspark.sql.pandas.types import from_arrow_schema

        function: Any = work  # Spark calls it with an iterator, which any iterable may be
        return frame.mapInArrow(function, from_arrow_schema(schema))

    def collect(self, frame: DataFrame) -> list[dict[str, Any]]:
        """Returns the rows of a small frame."""
        return [row.asDict() for row in frame.collect()]

    def hashes(self, images: DataFrame) -> list[str]:
        """Returns the hashes of distinct images, in their order."""
        return sorted(row["image_sha256"] for row in images.select("image_sha256").collect())

    def keep(self, frame: DataFrame) -> DataFrame:
        """Keeps a frame until the profile ends, and only this one: what others keep in a shared session stays."""
        frame.persist()
        self._kept.callback(frame.unpersist)
        return frame

    def count(self, frame: DataFrame) -> int:
        """Returns how many rows a frame has."""
        return frame.count()

    def with_marks(self, rows: DataFrame, marks: DataFrame, *, images: int) -> DataFrame:
        """Joins rows with the marks of their images, of which there are `images`, as the column `image_mark`."""
        from pyspark.sql import functions as f

        # Rows without an image would meet in one task: their own number spreads them, and matches nothing.
        lookup = f.coalesce(f.col("image_uri"), f.col("row_number").cast("string"))
        right = marks.withColumnRenamed("image_uri", "lookup")
        small = f.broadcast(right) if images <= _BROADCAST_ROWS else right
        return rows.withColumn("lookup", lookup).join(small, "lookup", "left").drop("lookup")

    def spread(self, frame: DataFrame, *, tasks: int, by: str | None = None) -> DataFrame:
        """Spreads rows over tasks: by a column's hash, or evenly."""
        return frame.repartition(tasks, by) if by is not None else frame.repartition(tasks)

    def last_of_duplicates(self, judged: DataFrame, *, tasks: int) -> DataFrame:
        """Of the sound rows with one `item_id` the last one counts; the others are rejected."""
        from pyspark.sql import Window
        from pyspark.sql import functions as f

        sound = f.col("reject_reason").isNull()
        # Broken rows have nothing in common: each is a group of its own, which also keeps tasks even.
        spread = judged.withColumn("lone", f.when(~sound, f.col("row_number"))).repartition(tasks, "item_id", "lone")
        later = f.max("row_number").over(Window.partitionBy("item_id", "lone"))
        duplicate = sound & (f.col("row_number") < f.col("later"))
        detail = f.concat(f.lit("row "), f.col("later").cast("string"), f.lit(" has the same item_id and comes later"))
        return (
            spread.withColumn("later", later)
            .withColumn("reject_detail", f.when(duplicate, detail).otherwise(f.col("reject_detail")))
            .withColumn(
                "reject_reason",
                f.when(duplicate, f.lit(str(Reason.DUPLICATE_ITEM_ID))).otherwise(f.col("reject_reason")),
            )
            .drop("lone", "later")
        )

    def accepted_images(self, judged: DataFrame) -> DataFrame:
        """Returns the distinct accepted images: image_sha256, image_uri, size_bytes."""
        from pyspark.sql import functions as f

        return (
            judged.where(f.col("reject_reason").isNull() & f.col("image_sha256").isNotNull())
            .groupBy("image_sha256")
            .agg(f.min("image_uri").alias("image_uri"), f.min("image_size_bytes").alias("size_bytes"))
        )

    def known_images(self, listed: DataFrame, images: DataFrame) -> DataFrame:
        """Returns those of all listed locations that are of these images."""
        return listed.join(images.select("image_sha256"), "image_sha256", "left_semi")

    def distinct_locations(self, found: DataFrame) -> DataFrame:
        """Returns one location for each image, the same one whatever the order."""
        from pyspark.sql import functions as f

        place = f.min(f.struct("pack_id", "image_offset", "row_group")).alias("place")
        return found.groupBy("image_sha256").agg(place).select("image_sha256", "place.*")

    def new_images(self, images: DataFrame, located: DataFrame | None) -> DataFrame:
        """Returns the images that lie in no pack yet."""
        return images if located is None else images.join(located, "image_sha256", "left_anti")

    def counted(self, images: DataFrame) -> tuple[int, int]:
        """Returns how many images there are, and their bytes."""
        from pyspark.sql import functions as f

        count, size_bytes = images.agg(f.count("*"), f.coalesce(f.sum("size_bytes"), f.lit(0))).collect()[0]
        return int(count), int(size_bytes)

    def in_buckets(self, images: DataFrame, *, buckets: int) -> DataFrame:
        """Gives each bucket, a range of hashes, a task of its own, in order of the hashes."""
        from pyspark.sql import functions as f

        number = f.conv(f.substring("image_sha256", 1, 8), 16, 10).cast("long")
        bucket = f.floor(number * f.lit(buckets) / f.lit(HASH_RANGE)).cast("int")
        return (
            images.withColumn("bucket", bucket)
            .repartitionById(buckets, f.col("bucket"))
            .sortWithinPartitions("image_sha256")
        )

    def union(self, packed: DataFrame, located: DataFrame | None) -> DataFrame:
        """Returns all locations: of what was packed now and of what was before."""
        return packed if located is None else packed.unionByName(located)

    def with_locations(self, judged: DataFrame, located: DataFrame, *, space: str) -> DataFrame:
        """Joins accepted rows with where their images lie."""
        from pyspark.sql import functions as f

        accepted = f.col("reject_reason").isNull() & f.col("image_sha256").isNotNull()
        # Rows without an image to look up would meet in one task: their own number spreads them, and matches nothing.
        left = judged.withColumn(
            "lookup", f.when(accepted, f.col("image_sha256")).otherwise(f.col("row_number").cast("string"))
        )
        right = located.withColumnRenamed("image_sha256", "lookup")
        joined = left.join(right, "lookup", "left").drop("lookup")
        if space == "vectors":
            nothing: Column = f.lit(None)
            return joined.withColumns(
                {
                    "row_group": nothing.cast("int"),
                    "source_id": nothing.cast("string"),
                    "embedding_key": nothing.cast("string"),
                }
            )
        found = f.col("pack_id").isNotNull()
        return joined.withColumns(
            {"source_id": f.col("pack_id"), "embedding_key": f.when(found, f.col("image_sha256"))}
        )

    def in_parts(self, candidates: DataFrame, *, parts: int, part_rows: int) -> DataFrame:
        """Gives each part a task of its own, in order of the rows."""
        from pyspark.sql import functions as f

        part = f.floor(f.col("row_number") / f.lit(part_rows)).cast("int")
        return candidates.repartitionById(parts, part).sortWithinPartitions("row_number")
