"""Where a delivery comes from: a folder, a file or an `s3://` prefix, and the items files in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from spark_jobs.byte_ranges import LocalBytes
from spark_jobs.item_files import SUFFIXES, items_format
from vitrine.errors import DeliveryError, ObjectMissingError, StorageError
from vitrine.storage import ObjectStore
from vitrine.storage.object_file import ByteSource, StoredBytes
from vitrine.storage.object_store import parse_s3_uri

FULL_MARKER = "_full"
SIDECAR = "delivery.yaml"
_SUFFIX = r"(parquet|jsonl|jsonl\.gz|csv|csv\.gz)"
# One delivery lies in one of these shapes; two of them at once would leave open which one is meant.
_SHAPES = (
    re.compile(rf"items\.{_SUFFIX}"),
    re.compile(rf"(items-|part-)[^/]*\.{_SUFFIX}"),
    re.compile(rf"items/[^/]*\.{_SUFFIX}"),
)


@dataclass(frozen=True)
class SourceFile:
    """One items file where it lies."""

    name: str  # below `items/` of the delivery
    content: ByteSource


@dataclass(frozen=True)
class DeliverySource:
    """A place that holds one delivery.

    `folder` is the local folder whose images are copied; `images_base` the prefix of images that stay where they lie.
    """

    source: str
    files: tuple[SourceFile, ...]
    marked_full: bool | None
    folder: Path | None = None
    images_base: str | None = None


def open_source(source: str, store: ObjectStore) -> DeliverySource:
    """Finds the items files of a source.

    Raises:
        DeliveryError: there are none, or it is ambiguous which are meant.
    """
    if source.startswith("s3://"):
        return _open_prefix(source, store)
    if "://" in source:
        raise DeliveryError(f"{source}: expected a folder, a file or s3://bucket/prefix")
    path = Path(source).expanduser().resolve()
    if path.is_file():
        items_format(path.name)
        file = SourceFile(path.name, LocalBytes(path))
        return DeliverySource(str(path), (file,), _marked(path.parent), folder=path.parent)
    if not path.is_dir():
        raise DeliveryError(f"{source} is neither a file nor a folder on this machine; name the folder of the delivery")
    names = sorted(entry.name for entry in path.iterdir() if entry.is_file())
    if (path / "items").is_dir():
        names += sorted(f"items/{entry.name}" for entry in (path / "items").iterdir() if entry.is_file())
    files = tuple(
        SourceFile(name.removeprefix("items/"), LocalBytes(path / name)) for name in _items_files(names, where=source)
    )
    return DeliverySource(str(path), files, _marked(path), folder=path)


def _open_prefix(source: str, store: ObjectStore) -> DeliverySource:
    try:
        bucket, prefix = parse_s3_uri(source)
    except StorageError as error:
        raise DeliveryError(str(error)) from error
    store = store if bucket == store.bucket else store.with_bucket(bucket)
    prefix = prefix.rstrip("/")
    if re.search(rf"\.{_SUFFIX}$", prefix):
        folder, _, name = prefix.rpartition("/")
        found = {name: _size(store, prefix, source=source)}
        names = [name]
    else:
        folder = prefix
        found = _children(store, folder, source=source)
        names = _items_files(sorted(found), where=source)
    below = f"{folder}/" if folder else ""
    files = tuple(
        SourceFile(name.removeprefix("items/"), StoredBytes(store, below + name, found[name])) for name in names
    )
    marker, sidecar = f"{below}{FULL_MARKER}", f"{below}{SIDECAR}"
    marked = True if store.exists(marker) else None
    if store.exists(sidecar):
        marked = _parse_sidecar(store.get_bytes(sidecar), where=f"s3://{bucket}/{sidecar}")
    base = f"s3://{bucket}/{below}"
    return DeliverySource(source, files, marked, images_base=base)


def _children(store: ObjectStore, folder: str, *, source: str) -> dict[str, int]:
    """Returns what may be an items file under a prefix, without listing the images beside them."""
    below = f"{folder}/" if folder else ""
    found: dict[str, int] = {}
    try:
        for start in ("items", "part-"):
            for key, size in store.list_objects(below + start):
                found[key.removeprefix(below)] = size
    except ObjectMissingError as error:
        raise DeliveryError(f"{source}: there is no such bucket; name the prefix of the delivery") from error
    return found


def _size(store: ObjectStore, key: str, *, source: str) -> int:
    try:
        return store.size_bytes(key)
    except ObjectMissingError as error:
        raise DeliveryError(f"{source} does not exist; name the items file or the prefix it lies under") from error


def _items_files(names: list[str], *, where: str) -> list[str]:
    found = [[name for name in names if shape.fullmatch(name)] for shape in _SHAPES]
    shapes = [group for group in found if group]
    if not shapes:
        raise DeliveryError(
            f"{where}: expected items.parquet, items.jsonl or items.csv, or items-*, part-* or items/* with one of "
            f"the suffixes {', '.join(SUFFIXES)}; found none"
        )
    group = shapes[0]
    alone = group is found[0]
    if len(shapes) > 1 or (alone and len(group) > 1) or len({items_format(name)[0] for name in group}) > 1:
        every = [name for names in shapes for name in names]
        shown = ", ".join(every[:6]) + (", ..." if len(every) > 6 else "")
        raise DeliveryError(
            f"{where}: it is ambiguous which items files are meant: {shown}; name one, or move the rest"
        )
    return group


def _marked(folder: Path) -> bool | None:
    sidecar = folder / SIDECAR
    if sidecar.is_file():
        return _parse_sidecar(sidecar.read_bytes(), where=str(sidecar))
    return True if (folder / FULL_MARKER).exists() else None


def _parse_sidecar(data: bytes, *, where: str) -> bool | None:
    try:
        document = yaml.safe_load(data) or {}
    except yaml.YAMLError as error:
        raise DeliveryError(f"{where} is not valid YAML: {error}") from error
    full = document.get("full") if isinstance(document, dict) else document
    if full is not None and not isinstance(full, bool):
        raise DeliveryError(f"{where}: expected `full: true` or `full: false`, found {full!r}")
    return full
