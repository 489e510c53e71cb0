"""A job that fails says which row it was at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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


def test_a_row_that_cannot_be_read_is_named_by_its_number() -> None:
    def rows() -> Iterator[Row]:
        yield Row({"item_id": "a", "image_uri": "a.jpg"}, text=False)
        raise ZeroDivisionError("division by zero")

    policy = IngestPolicy.of(Catalog(catalog_id="demo"), Settings())
    judged = judge_rows(rows(), first_row_number=40, places=ImagePlaces("s3://bucket/base/"), policy=policy)
    next(judged)

    with pytest.raises(UnforeseenError, match="row 41: ZeroDivisionError"):
        next(judged)
