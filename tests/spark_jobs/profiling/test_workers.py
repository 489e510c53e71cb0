"""A profile that stops names the row, the item and the image that it was at, to whoever started the job."""

from __future__ import annotations

from concurrent.futures import Future

import pyarrow as pa
import pytest

from spark_jobs.profiling.candidate_batches import judged_rows_schema
from spark_jobs.profiling.images import JudgedImage
from spark_jobs.profiling.workers import _Judging, _with_profiles
from spark_runtime.configuration import failed_job
from vitrine.errors import StorageError, UnforeseenError


def test_the_row_reaches_whoever_started_the_job() -> None:
    quoted = 'Traceback:\n  File "x"\nvitrine.errors.UnforeseenError: items.jsonl: row 7: ValueError: no\n\n\tat org.x'

    error = failed_job(quoted)

    assert type(error) is UnforeseenError
    assert str(error) == "items.jsonl: row 7: ValueError: no"


def test_an_image_that_stops_the_profile_is_named_with_its_item_and_row() -> None:
    rows = [
        {"row_number": number, "item_id": f"item-{number}", "image_uri": f"s3://b/{number}.jpg", "deleted": False}
        for number in (7, 8)
    ]
    batch = pa.RecordBatch.from_pylist([row | {"attributes": "{}"} for row in rows], schema=judged_rows_schema())
    stopped: Future[JudgedImage] = Future()
    stopped.set_exception(StorageError("s3://b/8.jpg: not fetched in 3 attempts"))

    with pytest.raises(StorageError, match=r"row 8, item 'item-8', image s3://b/8.jpg: s3://b/8.jpg: not fetched"):
        _with_profiles(_Judging(batch, [None, "s3://b/8.jpg"], {"s3://b/8.jpg": stopped}))
