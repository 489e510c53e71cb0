"""A job that fails says which row it was at."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import pyarrow as pa
import pytest

from spark_jobs.profiling.candidate_batches import judged_rows_schema
from spark_jobs.profiling.images import JudgedImage
from spark_jobs.profiling.workers import _with_profiles
from spark_runtime.configuration import failed_job
from vitrine.catalogs import Catalog
from vitrine.errors import ImageError, StorageError, UnforeseenError, VitrineError
from vitrine.items.files import Row
from vitrine.items.image_uris import ImagePlaces
from vitrine.items.policy import IngestPolicy
from vitrine.items.row_errors import at_row
from vitrine.items.rows import judge_rows
from vitrine.settings import Settings


@pytest.mark.parametrize(
    ("raised", "kind", "says"),
    [
        (StorageError("s3://b/k: away"), StorageError, "row 7: s3://b/k: away"),
        (ImageError("no picture", reason="image_undecodable"), VitrineError, "row 7: no picture"),
        (ZeroDivisionError("division by zero"), UnforeseenError, "row 7: ZeroDivisionError: division by zero; take it"),
        (MemoryError(), UnforeseenError, "row 7: MemoryError"),
    ],
)
def test_whatever_is_raised_names_the_row(raised: Exception, kind: type[VitrineError], says: str) -> None:
    with pytest.raises(kind) as caught, at_row("row 7"):
        raise raised

    assert str(caught.value).startswith(says)
    assert type(caught.value) is kind
    assert caught.value.__cause__ is raised


def test_the_row_reaches_whoever_started_the_job() -> None:
    quoted = 'Traceback:\n  File "x"\nvitrine.errors.UnforeseenError: items.jsonl: row 7: ValueError: no\n\n\tat org.x'

    error = failed_job(quoted)

    assert type(error) is UnforeseenError
    assert str(error) == "items.jsonl: row 7: ValueError: no"


def test_a_row_that_cannot_be_read_is_named_by_its_number() -> None:
    def rows() -> Iterator[Row]:
        yield Row({"item_id": "a", "image_uri": "a.jpg"}, text=False)
        raise ZeroDivisionError("division by zero")

    policy = IngestPolicy.of(Catalog(catalog_id="demo"), Settings())
    judged = judge_rows(rows(), first_row_number=40, places=ImagePlaces("s3://bucket/base/"), policy=policy)
    next(judged)

    with pytest.raises(UnforeseenError, match="row 41: ZeroDivisionError"):
        next(judged)


def test_an_image_that_stops_the_profile_is_named_with_its_item_and_row() -> None:
    rows = [
        {"row_number": number, "item_id": f"item-{number}", "image_uri": f"s3://b/{number}.jpg", "deleted": False}
        for number in (7, 8)
    ]
    batch = pa.RecordBatch.from_pylist([row | {"attributes": "{}"} for row in rows], schema=judged_rows_schema())
    stopped: Future[JudgedImage] = Future()
    stopped.set_exception(StorageError("s3://b/8.jpg: not fetched in 3 attempts"))

    with pytest.raises(StorageError, match=r"row 8, item 'item-8', image s3://b/8.jpg: s3://b/8.jpg: not fetched"):
        _with_profiles(batch, [None, "s3://b/8.jpg"], {"s3://b/8.jpg": stopped})
