"""What every worker of a profile is handed, and the batches that pass between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from spark_jobs.profiling.spool import Spool
from vitrine.contracts.datasets import PartFile
from vitrine.items.files import Split
from vitrine.items.image_uris import ImagePlaces
from vitrine.items.policy import IngestPolicy
from vitrine.settings import Settings

Batches = Iterable[pa.RecordBatch]


@dataclass(frozen=True)
class ItemsFile:
    """An items file of the delivery."""

    key: str
    size_bytes: int


@dataclass(frozen=True)
class ProfileTask:
    """What every worker of the job needs. Its settings hold secrets, so it is never logged."""

    settings: Settings
    policy: IngestPolicy
    catalog_id: str
    places: ImagePlaces
    files: tuple[ItemsFile, ...]
    splits: tuple[Split, ...]
    parts_prefix: str
    listings_prefix: str
    part_rows: int
    image_marks: PartFile | None = None
    spool: Spool | None = None
