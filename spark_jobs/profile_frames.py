"""The profile job's relational steps: duplicates, what is new, buckets of packs, rows joined with locations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitrine.contracts.items import Reason

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_HASH_RANGE = 1 << 32
_SMALL_DELIVERY_PACKS = 4
_BROADCAST_ROWS = 100_000  # 64 bytes each: 6 MB on the driver and on each executor


def with_marks(rows: DataFrame, marks: DataFrame, *, images: int) -> DataFrame:
    """Joins rows with the marks of their images, of which there are `images`, as the column `image_mark`."""
    from pyspark.sql import functions as f

    # Rows without an image would meet in one task: their own number spreads them, and matches nothing.
    lookup = f.coalesce(f.col("image_uri"), f.col("row_number").cast("string"))
    right = marks.withColumnRenamed("image_uri", "lookup")
    small = f.broadcast(right) if images <= _BROADCAST_ROWS else right
    return rows.withColumn("lookup", lookup).join(small, "lookup", "left").drop("lookup")


def last_of_duplicates(judged: DataFrame, *, tasks: int) -> DataFrame:
    """Of the sound rows with one `item_id`, images included, the last one counts; the others are rejected.

    A row that is broken keeps its own reason and takes nothing back: the shop meant to say something else by it.
    """
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


def distinct_locations(found: DataFrame) -> DataFrame:
    """Returns one location for each image, the same one whatever the order: two days may have packed one image."""
    from pyspark.sql import functions as f

    place = f.min(f.struct("pack_id", "image_offset", "row_group")).alias("place")
    return found.groupBy("image_sha256").agg(place).select("image_sha256", "place.*")


def accepted_images(judged: DataFrame) -> DataFrame:
    """Returns the distinct accepted images: image_sha256, image_uri, size_bytes."""
    from pyspark.sql import functions as f

    return (
        judged.where(f.col("reject_reason").isNull() & f.col("image_sha256").isNotNull())
        .groupBy("image_sha256")
        .agg(f.min("image_uri").alias("image_uri"), f.min("image_size_bytes").alias("size_bytes"))
    )


def known_images(listed: DataFrame, images: DataFrame, *, rows: int) -> DataFrame:
    """Returns those of all listed locations that are of these images, of which there are `rows` at most.

    A day's delivery is small and the listings hold the whole catalog: the day's hashes go to the listings, so that
    100 million locations are read past and never shuffled. A large delivery is joined like any table.
    """
    from pyspark.sql import functions as f

    wanted = images.select("image_sha256")
    return listed.join(f.broadcast(wanted) if rows <= _BROADCAST_ROWS else wanted, "image_sha256", "left_semi")


def new_images(images: DataFrame, located: DataFrame | None) -> DataFrame:
    """Returns the images that lie in no pack yet."""
    return images if located is None else images.join(located, "image_sha256", "left_anti")


def counted(images: DataFrame) -> tuple[int, int]:
    """Returns how many images there are, and their bytes."""
    from pyspark.sql import functions as f

    count, size_bytes = images.agg(f.count("*"), f.coalesce(f.sum("size_bytes"), f.lit(0))).collect()[0]
    return int(count), int(size_bytes)


def bucket_count(*, images: int, total_bytes: int, pack_rows: int, pack_max_bytes: int) -> int:
    """Returns over how many ranges of hashes new images are packed: by bytes, and a few for small deliveries.

    It depends on the images and the size of packs alone, so that another cluster makes the same packs.
    """
    by_bytes = -(-total_bytes // pack_max_bytes)
    by_rows = min(_SMALL_DELIVERY_PACKS, -(-images // pack_rows))
    return max(1, by_bytes, by_rows)


def in_buckets(images: DataFrame, *, buckets: int) -> DataFrame:
    """Gives each bucket, a range of hashes, a task of its own, in order of the hashes."""
    from pyspark.sql import functions as f

    number = f.conv(f.substring("image_sha256", 1, 8), 16, 10).cast("long")
    bucket = f.floor(number * f.lit(buckets) / f.lit(_HASH_RANGE)).cast("int")
    return (
        images.withColumn("bucket", bucket)
        .repartitionById(buckets, f.col("bucket"))
        .sortWithinPartitions("image_sha256")
    )


def with_locations(judged: DataFrame, located: DataFrame, *, space: str) -> DataFrame:
    """Joins accepted rows with where their images lie; in a catalog that is encoded that is their unit of embedding."""
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
    return joined.withColumns({"source_id": f.col("pack_id"), "embedding_key": f.when(found, f.col("image_sha256"))})


def in_parts(candidates: DataFrame, *, parts: int, part_rows: int) -> DataFrame:
    """Gives each part a task of its own, in order of the rows."""
    from pyspark.sql import functions as f

    part = f.floor(f.col("row_number") / f.lit(part_rows)).cast("int")
    return candidates.repartitionById(parts, part).sortWithinPartitions("row_number")
