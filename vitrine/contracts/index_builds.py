"""What the build of an index version leaves on its way: the plan, the quantizer and the encoded parts."""

from __future__ import annotations

from typing import Any

from vitrine.contracts.document import Document, FileName, StoredFile


class PlannedPart(Document):
    """A run of whole units that one task encodes.

    `part_id` hashes the blocks that hold its vectors and its embedding keys in row order, so equal parts of two heads
    are one part. `rows_file` is a Parquet file under the prefix of the index version: `item_id` and `embedding_key` in
    row order, and the blocks in its metadata.
    """

    part_id: FileName
    rows: int
    rows_file: StoredFile


class QuantizerFit(Document):
    """How well a quantizer fits a sample that is drawn over a whole set.

    `error` is the mean squared distance of a vector to what stands for it in the coarse quantizer; `imbalance` is the
    number of lists times the sum of the squared shares of the lists: 1 when all are equally long, and the factor by
    which a search compares more rows than it would then.
    """

    error: float
    imbalance: float
    sampled: int


class Quantizer(Document):
    """A trained quantizer, an object of its own that many index versions share; `manifest.json`, written last.

    `quantizer_id` hashes recipe, fingerprint and the embedding keys of the sample. `files` lie under the quantizer's
    prefix, in a folder of the attempt that trained it.
    """

    quantizer_id: str
    catalog_id: str
    fingerprint: str
    dimension: int
    recipe: dict[str, Any]
    embedding_set_id: str
    head_sequence: int
    items: int  # of the head that it was trained on
    sampled: int
    fit: QuantizerFit
    reasons: tuple[str, ...]  # why it was trained although there was another
    files: tuple[StoredFile, ...]


class EncodedPart(Document):
    """A part's rows 0 to n-1, encoded by one quantizer; `part.json`, written last.

    `files` lie under the part's prefix, in a folder of the attempt that encoded it.
    """

    part_id: FileName
    quantizer_id: str
    rows: int
    files: tuple[StoredFile, ...]


class QuantizerChoice(Document):
    """Which quantizer a build encodes with, and why.

    `fit` is measured on a sample of this head, `fit_at_training` on one of the head that the quantizer was trained on.
    """

    quantizer_id: str
    reused: bool
    reasons: tuple[str, ...]  # reused: why a retrain is due; otherwise: why one was trained although there was another
    fit: QuantizerFit
    fit_at_training: QuantizerFit


class IndexFigures(Document):
    """What an index costs: as the plan predicts it, or as it was measured. None where nothing says it."""

    memory_bytes: int | None = None  # anonymous
    mapped_bytes: int | None = None
    disk_bytes: int | None = None
    recall: float | None = None
    cpu_ms: float | None = None  # of one query, on one thread
    build_peak_bytes: int | None = None  # anonymous


class IndexPlan(Document):
    """What is to be built; everything after it needs only its id.

    `shards` are the numbers of parts in each shard, in order. `quantizer` is None for a recipe that is built whole.
    """

    plan_id: str
    catalog_id: str
    fingerprint: str
    embedding_set_id: str
    dimension: int
    items: int
    index_version: str
    recipe: dict[str, Any]
    recall_target: float
    quantizer: QuantizerChoice | None
    parts: tuple[PlannedPart, ...]
    parts_standing: int  # that were encoded before
    shards: tuple[int, ...]
    predicted: IndexFigures
