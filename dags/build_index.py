"""# Build the index of a catalog's head

**When:** asked for by an ingest that published a partition, by a promotion, or by hand. Builds
coalesce: each takes the whole head as it is once no ingest of the catalog runs or is queued, or after
`VITRINE_BUILD_MAX_WAIT_S`.

1. `wait_for_ingest` waits in the triggerer, without a worker.
2. `resolve_encoder` settles the encoder for the rest of the run. One whose promotion was given up is skipped.
3. `embed_head` writes the embedding set: the manifests of the head and the blocks that cover them. What the head lacks
   under the encoder is embedded first (Spark), again when a partition was published meanwhile.
4. `build_index_version` builds the faiss index and measures its recall against exact search.
5. `build_item_table` writes the metadata in the order of the index's rows.
6. `publish_candidate` offers the release: encoder, index version and item table.
7. `trigger_release` hands it to `release_index`.

**A rerun** over the same head returns the versions that exist within seconds. Not to be backfilled: the head is one.
"""

from airflow.sdk import task
from vitrine_airflow import BUILD_FORM, EmbedHead, TriggerRelease, WaitForIngest, catalog_dag, run


@catalog_dag(doc_md=__doc__, params=BUILD_FORM, dagrun_timeout_h=24)
def build_index(catalog_id: str) -> None:
    @task
    def resolve_encoder() -> dict[str, str]:
        from vitrine_airflow.encoders import resolve_or_skip

        return resolve_or_skip(run.settings(), catalog_id=catalog_id, encoder=run.parameter("encoder"))

    @task(pool="index")
    def build_index_version(embedding_set_id: str) -> str:
        from index_builder.builds import build_index_version

        return build_index_version(
            run.settings(), catalog_id=catalog_id, embedding_set_id=embedding_set_id, provenance=run.provenance()
        )

    @task
    def build_item_table(embedding_set_id: str, index_version: str) -> str:
        from index_builder.item_tables import build_item_table

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
    embedding_set_id = embed_head.output
    index_version = build_index_version(embedding_set_id)
    item_table_id = build_item_table(embedding_set_id, index_version)
    release_id = publish_candidate(embedding_set_id, index_version, item_table_id, encoder["encoder_version"])

    WaitForIngest(task_id="wait_for_ingest", catalog_id=catalog_id) >> encoder
    TriggerRelease(task_id="trigger_release", catalog_id=catalog_id, release_id=release_id)
