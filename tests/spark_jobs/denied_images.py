"""Images that the object store denies to the platform: the tests' S3 server knows no rights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import botocore.exceptions
import pytest

from vitrine.errors import StorageError
from vitrine.storage import ObjectStore


@contextmanager
def heads_denied(key: str) -> Iterator[None]:
    """HEAD of one key is answered, in this process, as S3 answers it where access is denied."""
    asked = ObjectStore.size_and_etag

    def size_and_etag(store: ObjectStore, name: str) -> tuple[int, str]:
        if name != key:
            return asked(store, name)
        answer = {"Error": {"Code": "403", "Message": "Forbidden"}}
        raise StorageError(f"{name} is denied") from botocore.exceptions.ClientError(answer, "HeadObject")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectStore, "size_and_etag", size_and_etag)
        yield
