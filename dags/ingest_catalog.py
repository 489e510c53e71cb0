"""# Ingest one day of a catalog

**When:** for a daily partition: by hand with a partition key such as `2026-11-01`, by backfill, or at midnight for the
day that has ended, where the catalog declares a `schedule`. It is the only DAG to backfill.

1. `check_partition_key` refuses a run without a day.
2. `record_delivery` copies the day's items as delivered, so that redoing the day redoes this delivery and not the
   source as it is by then. A day without any delivery is skipped.
3. `profile_images` decodes and judges every image where it lies, and packs the accepted bytes; many rows go to Spark,
   few are handled in the task itself.
4. `validate_items` runs Great Expectations and the partition gate, and writes the manifest; too many rejects stop here,
   before any embedding is paid for, and so does a delivery that takes too much out of the head, unless that is meant.
5. `resolve_encoders` finds the encoder of the live release, or the champion before the first, and the one that is being
   promoted.
6. `embed_images` embeds the images that have no embedding under each of them yet, many of them in Spark.
7. `publish_partition` makes the manifest the day's current one.
8. `trigger_build` asks for a build of the head under each; a build that still waits takes this day along.

**A rerun or a backfill** redoes exactly the recorded delivery: same manifest id, nothing embedded twice, and where
nothing changed the head and the live release stay as they are. A task that was killed goes on from what it had
committed.
"""

from airflow.sdk import task
from vitrine_airflow import INGEST_FORM, SparkJob, TriggerBuild, catalog_dag, daily_partitions, run


@catalog_dag(doc_md=__doc__, params=INGEST_FORM, schedule=daily_partitions, dagrun_timeout_h=24)
def ingest_catalog(catalog_id: str) -> None:
    @task
    def check_partition_key() -> str:
        from vitrine.partitions import parse_partition_key

        return parse_partition_key(run.partition_key())

    @task
    def record_delivery(dt: str) -> str:
        from vitrine_airflow.deliveries import record_or_skip

        return record_or_skip(
            run.settings(),
            catalog_id=catalog_id,
            dt=dt,
            source=run.parameter("source"),
            full=run.parameter("full"),
            removal_is_meant=run.parameter("removal_is_meant"),
            provenance=run.provenance(),
        )

    @task
    def validate_items(dt: str, delivery_id: str) -> str:
        from spark_jobs.validation import validate_partition

        return validate_partition(
            run.settings(), catalog_id=catalog_id, dt=dt, delivery_id=delivery_id, provenance=run.provenance()
        )

    @task
    def resolve_encoders() -> list[str]:
        from vitrine_airflow.encoders import encoders_to_feed

        return encoders_to_feed(run.settings(), catalog_id=catalog_id)

    @task
    def publish_partition(dt: str, manifest_id: str, fingerprints: list[str]) -> int:
        from spark_jobs.publication import publish_partition

        return publish_partition(
            run.settings(), catalog_id=catalog_id, dt=dt, manifest_id=manifest_id, fingerprints=fingerprints
        )

    dt = check_partition_key()
    delivery_id = record_delivery(dt)
    profile_images = SparkJob(
        task_id="profile_images",
        pool="spark",
        verb="profile",
        options={"catalog": catalog_id, "dt": dt, "delivery-id": delivery_id},
    )
    manifest_id = validate_items(dt, delivery_id)
    fingerprints = resolve_encoders()
    embed_images = SparkJob.partial(
        task_id="embed_images",
        pool="spark",
        verb="embed",
        options={"catalog": catalog_id, "dt": dt, "manifest-id": manifest_id},
    ).expand(fingerprint=fingerprints)
    head_sequence = publish_partition(dt, manifest_id, fingerprints)

    profile_images >> manifest_id >> fingerprints
    embed_images >> head_sequence
    TriggerBuild.partial(task_id="trigger_build", catalog_id=catalog_id, head_sequence=head_sequence).expand(
        fingerprint=fingerprints
    )
