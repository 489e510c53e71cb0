"""# Build the index of a catalog's head

**When:** asked for by an ingest that published a partition, by a promotion, or by hand. Builds
coalesce: each takes the whole head as it is once no ingest of the catalog runs or is queued, or after
`VITRINE_BUILD_MAX_WAIT_S`.

1. `wait_for_ingest` waits in the triggerer, without a worker. A build that a promotion asked for also waits for its
   turn: the default catalog first, then by `priority`; the next begins once fewer than
   `VITRINE_PROMOTION_CATALOGS_AT_ONCE` before it are under way.
2. `resolve_encoder` settles the encoder for the rest of the run. One whose promotion was given up is skipped. Where the
   head has all its vectors under it, that is the embedding set: the manifests of the head and the blocks that cover
   them.
3. `embed_head` embeds what the head lacks under the encoder, again when a partition was published meanwhile,
   and writes the embedding set. Where nothing is lacking it is skipped, and takes no slot.
4. `plan_index` orders the rows, cuts them into parts, chooses the recipe, and trains a quantizer where the newest one
   does not fit the head any more.
5. `encode_parts` encodes the parts that are not encoded yet, many of them in Spark. Recipes that are built whole have
   none: it is skipped, and takes no slot.
6. `assemble_index` merges them into shards, tunes the search against exact answers, checks rows and vectors, and
   commits the index version.
7. `build_item_table` writes the metadata in the order of the index's rows.
8. `publish_candidate` offers the release: encoder, index version and item table.
9. `trigger_release` hands it to `release_index`.

**A rerun** over the same head returns the versions that exist within seconds; one that was killed goes on from the
parts that it had encoded. Not to be backfilled: the head is one.
"""

from airflow.sdk import task
from vitrine_airflow import (
    BUILD_FORM,
    UNLESS_SKIPPED_ALL,
    EmbedHead,
    EncodeParts,
    TriggerRelease,
    WaitForIngest,
    catalog_dag,
    run,
)


@catalog_dag(doc_md=__doc__, params=BUILD_FORM, dagrun_timeout_h=24)
def build_index(catalog_id: str) -> None:
    @task
    def resolve_encoder() -> dict[str, str | None]:
        from vitrine_airflow.build_steps import resolve_encoder

        return resolve_encoder(run.settings(), catalog_id=catalog_id, encoder=run.parameter("encoder"))

    @task(pool="index", trigger_rule=UNLESS_SKIPPED_ALL)
    def plan_index(covered: str | None, embedded: str | None) -> dict[str, str]:
        from vitrine_airflow.build_steps import plan_index

        return plan_index(
            run.settings(),
            catalog_id=catalog_id,
            covered=covered,
            embedded=embedded,
            retrain=bool(run.parameter("retrain")),
        )

    @task(pool="index", trigger_rule=UNLESS_SKIPPED_ALL)
    def assemble_index(plan_id: str) -> str:
        from index_builder.builds import assemble_index

        return assemble_index(run.settings(), catalog_id=catalog_id, plan_id=plan_id, provenance=run.provenance())

    @task
    def build_item_table(embedding_set_id: str, index_version: str) -> str:
        from index_builder.metadata.item_table_build import build_item_table

        return build_item_table(
            run.settings(),
            catalog_id=catalog_id,
            embedding_set_id=embedding_set_id,
            index_version=index_version,
            provenance=run.provenance(),
        )

    @task
    def publish_candidate(embedding_set_id: str, index_version: str, item_table_id: str, encoder_version: str) -> str:
        from index_builder.candidates import publish_candidate

        return publish_candidate(
            run.settings(),
            catalog_id=catalog_id,
            embedding_set_id=embedding_set_id,
            index_version=index_version,
            item_table_id=item_table_id,
            encoder_version=encoder_version,
        )

    encoder = resolve_encoder()
    embed_head = EmbedHead(
        task_id="embed_head", pool="spark", catalog_id=catalog_id, fingerprint=encoder["fingerprint"]
    )
    plan = plan_index(encoder["embedding_set_id"], embed_head.output)
    embedding_set_id, plan_id = plan["embedding_set_id"], plan["plan_id"]
    encode_parts = EncodeParts(task_id="encode_parts", pool="spark", catalog_id=catalog_id, plan_id=plan_id)
    index_version = assemble_index(plan_id)
    item_table_id = build_item_table(embedding_set_id, index_version)
    release_id = publish_candidate(embedding_set_id, index_version, item_table_id, encoder["encoder_version"])

    WaitForIngest(task_id="wait_for_ingest", catalog_id=catalog_id) >> encoder
    encode_parts >> index_version
    TriggerRelease(task_id="trigger_release", catalog_id=catalog_id, release_id=release_id)
