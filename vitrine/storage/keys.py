"""Every key in the object store. Objects are written once under keys that are never reused."""

from __future__ import annotations


def delivery_prefix(catalog_id: str, dt: str, delivery_id: str) -> str:
    """`delivery.json` (last) and the items files as delivered, under `items/`; copied images under `images/`."""
    return f"{catalog_id}/deliveries/dt={dt}/{delivery_id}"


def profile_prefix(catalog_id: str, dt: str, delivery_id: str, *, attempt_id: str) -> str:
    """Candidate rows (items joined with image profiles and verdicts) of one profiling attempt."""
    return f"{catalog_id}/deliveries/dt={dt}/{delivery_id}/profiles/{attempt_id}"


def image_pack(catalog_id: str, pack_id: str) -> str:
    """A Parquet pack of accepted image bytes."""
    return f"{catalog_id}/images/{pack_id}.parquet"


def pack_listing_prefix(catalog_id: str, *, attempt_id: str) -> str:
    """Where the images lie that one committed profile packed. Later profiles read it: it goes before its packs do."""
    return f"{catalog_id}/pack_listings/{attempt_id}"


def manifest_prefix(catalog_id: str, dt: str, manifest_id: str) -> str:
    """`items/part-*.parquet`, `quarantine/part-*.parquet`, `provenance.json`, and `manifest.json` last."""
    return f"{catalog_id}/manifests/dt={dt}/{manifest_id}"


def embedding_block(catalog_id: str, fingerprint: str, block_id: str) -> str:
    """A Parquet block of embeddings: one row group of one pack under one encoder."""
    return f"{catalog_id}/embeddings/{fingerprint}/{block_id}.parquet"


def embedding_set(catalog_id: str, embedding_set_id: str) -> str:
    """The list of blocks and manifests that make one head under one encoder."""
    return f"{catalog_id}/embedding_sets/{embedding_set_id}.json"


def index_prefix(catalog_id: str, index_version: str) -> str:
    """`shard-0000-<attempt_id>/index.faiss`, `rows/part-*.parquet`, `manifest.json` last."""
    return f"{catalog_id}/indexes/{index_version}"


def index_plan(catalog_id: str, plan_id: str) -> str:
    """What a build of an index version is to do; its rows lie under the version's own prefix."""
    return f"{catalog_id}/index_plans/{plan_id}.json"


def quantizer_prefix(catalog_id: str, quantizer_id: str) -> str:
    """A trained quantizer: `<attempt_id>/…`, `manifest.json` last."""
    return f"{catalog_id}/quantizers/{quantizer_id}"


def encoded_parts_prefix(catalog_id: str, quantizer_id: str) -> str:
    """All parts that a quantizer encoded; they go before it does."""
    return f"{catalog_id}/encoded_parts/{quantizer_id}"


def encoded_part_prefix(catalog_id: str, quantizer_id: str, part_id: str) -> str:
    """One encoded part: `<attempt_id>/…`, `part.json` last."""
    return f"{encoded_parts_prefix(catalog_id, quantizer_id)}/{part_id}"


def item_table_prefix(catalog_id: str, item_table_id: str) -> str:
    """The files, below `<attempt_id>/`; `provenance.json`, `manifest.json` last."""
    return f"{catalog_id}/item_tables/{item_table_id}"


def item_table_files_prefix(catalog_id: str, item_table_id: str, *, attempt_id: str | None) -> str:
    """`items.sqlite`, `columns/*.npy`, `groups/*.npy`; without an attempt in a table of before."""
    prefix = item_table_prefix(catalog_id, item_table_id)
    return prefix if attempt_id is None else f"{prefix}/{attempt_id}"


def release(catalog_id: str, release_id: str) -> str:
    """The release: encoder, index version and item table."""
    return f"{catalog_id}/releases/{release_id}.json"


def golden_set(catalog_id: str, golden_set_id: str) -> str:
    """Queries with the items that must come back."""
    return f"{catalog_id}/golden/{golden_set_id}.json"


def events_prefix(catalog_id: str, dt: str) -> str:
    """The events of one day: `part-*.parquet`, each named by its content."""
    return f"{catalog_id}/events/dt={dt}"


def training_set_prefix(catalog_id: str, training_set_id: str) -> str:
    """`plan.json` first, `samples/`, `pairs/` and `negatives/part-*.parquet`, `training_set.json` last."""
    return f"{catalog_id}/training_sets/{training_set_id}"


def training_prefix(catalog_id: str, training_id: str) -> str:
    """`plan.json` first, then `<sha256>/history.json`, `provenance.json`, and `training.json` last."""
    return f"{catalog_id}/trainings/{training_id}"


def evaluation_prefix(catalog_id: str, evaluation_id: str) -> str:
    """The report's files, each under its own hash: `<sha256>/report.md`; `evaluation.json` last."""
    return f"{catalog_id}/evaluations/{evaluation_id}"


def training_grades(catalog_id: str, sha256: str) -> str:
    """Human grades of pairs of items, as they were given to mining."""
    return f"{catalog_id}/training_grades/{sha256[:20]}.parquet"


def report_prefix(catalog_id: str, dt: str, report: str) -> str:
    """Data Docs, gate reports and drift reports of one partition."""
    return f"{catalog_id}/reports/dt={dt}/{report}"


def encoder_prefix(fingerprint: str) -> str:
    """Safetensors, preprocessing, tokenizer and converted engines; `encoder.json` last."""
    return f"encoders/{fingerprint}"


def journal_entry(sequence: int) -> str:
    """One transition of the ledger, so that the ledger can be rebuilt."""
    return f"journal/{sequence:012d}.json"
