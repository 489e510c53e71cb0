"""The object store on a real S3 server."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import pytest

from vitrine.errors import ObjectChangedError, ObjectCorruptError, ObjectMissingError, StorageError
from vitrine.identity import sha256_hex
from vitrine.storage import ObjectStore
from vitrine.storage.object_store import parse_s3_uri


def test_an_object_is_read_back_whole_and_by_range(object_store: ObjectStore) -> None:
    object_store.put_bytes("a/b", b"0123456789")

    assert object_store.get_bytes("a/b") == b"0123456789"
    assert object_store.get_bytes("a/b", start=2, length=3) == b"234"
    assert object_store.size_bytes("a/b") == 10


def test_a_missing_object_is_told_from_a_server_that_is_away(object_store: ObjectStore) -> None:
    away = ObjectStore("bucket", endpoint_url="http://127.0.0.1:9", access_key="a", secret_key="b", timeout_s=1)

    with pytest.raises(ObjectMissingError, match="does not exist"):
        object_store.get_bytes("nothing/here")
    with pytest.raises(StorageError, match=r"cannot reach the object store at http://127\.0\.0\.1:9") as caught:
        away.get_bytes("a/b")

    assert not isinstance(caught.value, ObjectMissingError)
    assert object_store.exists("nothing/here") is False


def test_an_object_is_read_by_its_etag_or_not_at_all(object_store: ObjectStore) -> None:
    object_store.put_bytes("a/b", b"0123456789")
    [(_, _, etag)] = object_store.list_etags("a/")

    assert object_store.get_bytes("a/b", etag=etag) == b"0123456789"
    assert object_store.get_bytes("a/b", start=2, length=3, etag=etag) == b"234"
    assert object_store.get_bytes_within("a/b", max_bytes=99, etag=etag) == (10, b"0123456789")
    object_store.put_bytes("a/b", b"9876543210")

    with pytest.raises(ObjectChangedError, match="it was overwritten"):
        object_store.get_bytes("a/b", etag=etag)
    with pytest.raises(ObjectChangedError):
        object_store.get_bytes("a/b", start=2, length=3, etag=etag)
    with pytest.raises(ObjectChangedError):
        object_store.get_bytes_within("a/b", max_bytes=99, etag=etag)


def test_a_download_that_differs_from_its_digest_is_refused_and_not_left_behind(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    object_store.put_bytes("index", b"changed")

    with pytest.raises(ObjectCorruptError, match=sha256_hex(b"original")):
        object_store.get_file("index", tmp_path / "index", sha256=sha256_hex(b"original"))

    assert not (tmp_path / "index").exists()


def test_listing_yields_every_key_under_a_prefix_in_order(object_store: ObjectStore) -> None:
    for key in ("p/b", "p/a", "q/c"):
        object_store.put_bytes(key, b"x")

    assert list(object_store.list_keys("p/")) == ["p/a", "p/b"]


def test_a_store_travels_to_another_process_by_pickle(object_store: ObjectStore) -> None:
    object_store.put_bytes("k", b"v")

    assert pickle.loads(pickle.dumps(object_store)).get_bytes("k") == b"v"


@pytest.mark.parametrize("uri", ["http://b/k", "/tmp/x", "s3:///k", "b/k"])
def test_only_s3_uris_are_taken_for_s3_uris(uri: str) -> None:
    with pytest.raises(StorageError, match="s3://bucket/key"):
        parse_s3_uri(uri)


def test_odd_characters_in_a_key_survive(object_store: ObjectStore) -> None:
    bucket, key = parse_s3_uri("s3://bucket/a b/ü#1?x=1.jpg")

    assert (bucket, key) == ("bucket", "a b/ü#1?x=1.jpg")
    object_store.put_bytes(key, b"v")
    assert object_store.get_bytes(key) == b"v"


def test_bytes_that_were_torn_on_their_way_are_refused_by_the_server(object_store: ObjectStore) -> None:
    def tear(request: Any, **_: object) -> None:
        request.body = io.BytesIO(b"a whale picture")

    object_store._client.meta.events.register("before-send.s3.PutObject", tear)

    with pytest.raises(StorageError, match="BadDigest"):
        object_store.put_bytes("a", b"a whole picture")

    assert not object_store.exists("a")


def test_the_etag_of_an_object_changes_with_its_bytes(object_store: ObjectStore) -> None:
    object_store.put_bytes("p/a", b"one")
    [(key, size_bytes, first)] = object_store.list_etags("p/")
    object_store.put_bytes("p/a", b"two")

    [(_, _, second)] = object_store.list_etags("p/")

    assert (key, size_bytes) == ("p/a", 3)
    assert second != first
