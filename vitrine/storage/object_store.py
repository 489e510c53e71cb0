"""The object store, by boto3: one code path for S3 on a cluster and the loopback server on one machine.

Keys are immutable: nothing here overwrites with other bytes, moves, tags or makes directory objects (several
S3 servers get those wrong, see docs/adr/0002).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.config
import botocore.exceptions

from vitrine.errors import ObjectChangedError, ObjectCorruptError, ObjectMissingError, StorageError

MAX_ATTEMPTS = 5
_session_lock = threading.Lock()
_CHANGED = {"412", "PreconditionFailed"}
_MISSING = {"404", "NoSuchKey", "NoSuchBucket", "NotFound"}


class ObjectStore:
    """One bucket of an S3 server.

    Thread-safe, picklable by its settings (a client is opened at first use in each process), and cheap to make.

    Args:
        bucket: the bucket's name, 3 letters or more.
        endpoint_url: the server; None means AWS.
        access_key, secret_key: None means boto3's own credential chain.
        region: the region name.
        timeout_s: connect and read timeout of one attempt.
        max_attempts: of one request, the first one counted.
        max_connections: the size of the connection pool; threads beyond it wait.
    """

    def __init__(
        self,
        bucket: str,
        *,
        endpoint_url: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        region: str = "us-east-1",
        timeout_s: float = 30.0,
        max_attempts: int = MAX_ATTEMPTS,
        max_connections: int = 32,
    ) -> None:
        self.bucket = bucket
        self._connection: dict[str, Any] = {
            "endpoint_url": endpoint_url,
            "aws_access_key_id": access_key,
            "aws_secret_access_key": secret_key,
            "region_name": region,
        }
        self._timeout_s = timeout_s
        self._max_attempts = max_attempts
        self._max_connections = max_connections
        self._check: Callable[[], None] = _go_on
        self._opened: Any = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in {"_opened", "_lock"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._opened = None
        self._lock = threading.Lock()

    def with_bucket(self, bucket: str) -> ObjectStore:
        """Returns the same server with another bucket, for `s3://` URIs that point elsewhere."""
        other = object.__new__(ObjectStore)
        other.__setstate__(self.__getstate__() | {"bucket": bucket})
        other._opened = self._client  # one client serves all buckets, and takes a third of a second to make
        return other

    def interruptible(self, check: Callable[[], None]) -> ObjectStore:
        """Returns the same bucket, which calls `check` for every piece of a file that `get_file` brings or hashes.

        What `check` raises ends the download.
        """
        other = self.with_bucket(self.bucket)
        other._check = check
        return other

    def check(self) -> None:
        """Raises what `interruptible` was told to end the work by; nothing while it may go on."""
        self._check()

    def ensure_bucket(self) -> None:
        """Makes the bucket when it is not there."""
        with self._wrapped("bucket"):
            try:
                self._client.head_bucket(Bucket=self.bucket)
            except botocore.exceptions.ClientError as error:
                if _code(error) not in _MISSING:
                    raise
                self._client.create_bucket(Bucket=self.bucket)

    def put_bytes(self, key: str, data: bytes) -> None:
        """Writes one object; the server refuses bytes that arrive other than they were sent."""
        digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        with self._wrapped(key):
            self._client.put_object(Bucket=self.bucket, Key=key, Body=data, ContentMD5=digest)

    def put_file(self, key: str, path: Path) -> None:
        """Uploads a file, in parts when it is large."""
        with self._wrapped(key):
            self._client.upload_file(str(path), self.bucket, key)

    def get_bytes(
        self, key: str, *, start: int | None = None, length: int | None = None, etag: str | None = None
    ) -> bytes:
        """Reads one object, or `length` bytes of it from `start`; with `etag`, only of the object that has it.

        Raises:
            ObjectMissingError: the key does not exist.
            ObjectChangedError: the object has another ETag.
        """
        extra = {} if start is None or length is None else {"Range": f"bytes={start}-{start + length - 1}"}
        with self._wrapped(key), closing(self._get(key, etag=etag, **extra)["Body"]) as body:
            return body.read()

    def get_bytes_within(self, key: str, *, max_bytes: int, etag: str | None = None) -> tuple[int, bytes | None]:
        """Returns an object's size and its bytes; a body of more than `max_bytes` is not read, and None stands for it.

        Raises:
            ObjectMissingError: the key does not exist.
            ObjectChangedError: the object has another ETag than `etag`.
        """
        with self._wrapped(key):
            answer = self._get(key, etag=etag)
            with closing(answer["Body"]) as body:
                size = int(answer["ContentLength"])
                return size, body.read() if size <= max_bytes else None

    def get_file(self, key: str, path: Path, *, sha256: str | None = None) -> None:
        """Downloads one object to `path` and, when `sha256` is given, refuses bytes that differ from it.

        Raises:
            ObjectMissingError: the key does not exist.
            ObjectCorruptError: the bytes differ from `sha256`; `path` is not left behind.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._wrapped(key):
            self._client.download_file(self.bucket, key, str(path), Callback=lambda _: self._check())
        if sha256 is not None and (found := file_sha256(path, check=self._check)) != sha256:
            path.unlink()
            raise ObjectCorruptError(
                f"s3://{self.bucket}/{key}: expected sha256 {sha256}, found {found}; "
                "the object was changed after it was written: build it again"
            )

    def size_bytes(self, key: str) -> int:
        """Returns the object's size.

        Raises:
            ObjectMissingError: the key does not exist.
        """
        with self._wrapped(key):
            return int(self._client.head_object(Bucket=self.bucket, Key=key)["ContentLength"])

    def size_and_etag(self, key: str) -> tuple[int, str]:
        """Returns the object's size and its ETag, as `list_etags` tells them.

        Raises:
            ObjectMissingError: the key does not exist.
        """
        with self._wrapped(key):
            answer = self._client.head_object(Bucket=self.bucket, Key=key)
            return int(answer["ContentLength"]), answer["ETag"].strip('"')

    def exists(self, key: str) -> bool:
        """Tells whether the key exists."""
        try:
            self.size_bytes(key)
        except ObjectMissingError:
            return False
        return True

    def list_keys(self, prefix: str) -> Iterator[str]:
        """Yields every key under `prefix`, in order."""
        for key, _ in self.list_objects(prefix):
            yield key

    def list_objects(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yields `(key, size_bytes)` of every object under `prefix`, in order."""
        for key, size_bytes, _ in self.list_etags(prefix):
            yield key, size_bytes

    def list_etags(self, prefix: str) -> Iterator[tuple[str, int, str]]:
        """Yields `(key, size_bytes, etag)` of every object under `prefix`; the ETag changes with the bytes."""
        with self._wrapped(prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    yield entry["Key"], int(entry["Size"]), entry["ETag"].strip('"')

    def delete(self, key: str) -> None:
        """Deletes one object; deleting what is not there is no error."""
        with self._wrapped(key):
            self._client.delete_object(Bucket=self.bucket, Key=key)

    @property
    def _client(self) -> Any:
        if self._opened is None:
            with self._lock:
                if self._opened is None:
                    self._opened = _new_client(
                        self._connection,
                        botocore.config.Config(
                            s3={"addressing_style": "path"},
                            connect_timeout=self._timeout_s,
                            read_timeout=self._timeout_s,
                            retries={"total_max_attempts": self._max_attempts, "mode": "standard"},
                            max_pool_connections=self._max_connections,
                            request_checksum_calculation="when_required",
                            response_checksum_validation="when_required",
                        ),
                    )
        return self._opened

    def _get(self, key: str, *, etag: str | None, **extra: str) -> Any:
        """Asks for an object if it has that ETag, and compares the answer's: some servers overlook the condition."""
        condition = {"IfMatch": f'"{etag}"'} if etag else {}
        answer = self._client.get_object(Bucket=self.bucket, Key=key, **condition, **extra)
        found = answer.get("ETag", "").strip('"')
        if etag and found != etag:
            answer["Body"].close()
            raise self._changed(key, etag=etag, found=found)
        return answer

    def _changed(self, key: str, *, etag: str | None = None, found: str = "another") -> ObjectChangedError:
        expected = f"ETag {etag}" if etag else "the ETag that was listed"
        return ObjectChangedError(f"s3://{self.bucket}/{key}: expected {expected}, found {found}: it was overwritten")

    @contextmanager
    def _wrapped(self, key: str) -> Iterator[None]:
        try:
            yield
        except botocore.exceptions.ClientError as error:
            if _code(error) in _MISSING:
                raise ObjectMissingError(
                    f"s3://{self.bucket}/{key} does not exist; was the step that writes it run, or the object deleted?"
                ) from error
            if _code(error) in _CHANGED:
                raise self._changed(key) from error
            raise StorageError(f"s3://{self.bucket}/{key}: the object store answered {error}") from error
        except (botocore.exceptions.BotoCoreError, boto3.exceptions.Boto3Error, OSError) as error:
            where = self._connection["endpoint_url"] or "AWS"
            raise StorageError(
                f"s3://{self.bucket}/{key}: cannot reach the object store at {where}: {error}"
            ) from error


def _go_on() -> None:
    """Never ends any work."""


def parse_s3_uri(uri: str) -> tuple[str, str]:
    """Splits `s3://bucket/key` into bucket and key.

    Raises:
        StorageError: the URI is not of that form.
    """
    parts = urlsplit(uri, allow_fragments=False)
    key = parts.path.lstrip("/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme != "s3" or not parts.netloc:
        raise StorageError(f"expected a URI such as s3://bucket/key, found {uri!r}")
    return parts.netloc, key


def file_sha256(path: Path, *, check: Callable[[], None] | None = None) -> str:
    """Returns the SHA-256 of a file; `check` is called for each piece of it, and what it raises ends the reading."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
            if check is not None:
                check()
    return digest.hexdigest()


def _new_client(connection: dict[str, Any], config: botocore.config.Config) -> Any:
    """Makes a client of the process's session, one at a time: a session's own set-up is not thread-safe.

    A session of its own would parse botocore's descriptions again for each client, a third of a second.
    """
    with _session_lock:
        return _session().client("s3", **connection, config=config)


@functools.cache
def _session() -> boto3.session.Session:
    return boto3.session.Session()


def _code(error: botocore.exceptions.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
