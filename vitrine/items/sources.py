"""Where a delivery comes from: a folder, a file or an `s3://` prefix, and the items files in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import yaml

from vitrine.errors import DeliveryError, ObjectMissingError, StorageError
from vitrine.items.byte_ranges import LocalBytes
from vitrine.items.files import SUFFIXES, items_format
from vitrine.storage import ObjectStore
from vitrine.storage.object_file import ByteSource, StoredBytes
from vitrine.storage.object_store import parse_s3_uri

FULL_MARKER = "_full"
REMOVAL_MARKER = "_removal_is_meant"
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
class SourceMarks:
    """What a source says about itself; None where it says nothing.

    Attributes:
        full: the delivery removes what it omits.
        removal_is_meant: what it removes is meant, however much that is.
    """

    full: bool | None = None
    removal_is_meant: bool | None = None


@dataclass(frozen=True)
class DeliverySource:
    """A place that holds one delivery.

    `folder` is the local folder whose images are copied; `images_base` the prefix of images that stay where they lie.
    `says` is what the source says about itself, by files beside the items.
    """

    source: str
    files: tuple[SourceFile, ...]
    says: SourceMarks
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
    return open_folder(Path(source).expanduser(), source=source)


def open_folder(path: Path, *, source: str | None = None) -> DeliverySource:
    """Finds the items files of a folder on this machine, or takes the file that is named.

    Args:
        path: of the folder, or of an items file in it.
        source: what a person called it, for messages.

    Raises:
        DeliveryError: there are none, or it is ambiguous which are meant.
    """
    path, source = path.resolve(), source or str(path)
    if path.is_file():
        items_format(path.name)
        file = SourceFile(path.name, LocalBytes(path))
        return DeliverySource(str(path), (file,), _marks(path.parent), folder=path.parent)
    if not path.is_dir():
        raise DeliveryError(f"{source} is neither a file nor a folder on this machine; name the folder of the delivery")
    names = sorted(entry.name for entry in path.iterdir() if entry.is_file())
    if (path / "items").is_dir():
        names += sorted(f"items/{entry.name}" for entry in (path / "items").iterdir() if entry.is_file())
    files = tuple(
        SourceFile(name.removeprefix("items/"), LocalBytes(path / name)) for name in _items_files(names, where=source)
    )
    return DeliverySource(str(path), files, _marks(path), folder=path)


def _open_prefix(source: str, store: ObjectStore) -> DeliverySource:
    try:
        bucket, prefix = parse_s3_uri(source)
    except StorageError as error:
        raise DeliveryError(str(error)) from error
    store = store if bucket == store.bucket else store.with_bucket(bucket)
    prefix = prefix.rstrip("/")
    if re.search(rf"\.{_SUFFIX}$", prefix):
        folder, _, name = prefix.rpartition("/")
        found = {name: _size_and_etag(store, prefix, source=source)}
        names = [name]
    else:
        folder = prefix
        found = _children(store, folder, source=source)
        names = _items_files(sorted(found), where=source)
    below = f"{folder}/" if folder else ""
    files = tuple(
        SourceFile(name.removeprefix("items/"), StoredBytes(store, below + name, *found[name])) for name in names
    )
    marks = _read_marks(lambda name: store.exists(below + name), lambda name: store.get_bytes(below + name), source)
    return DeliverySource(source, files, marks, images_base=f"s3://{bucket}/{below}")


def _children(store: ObjectStore, folder: str, *, source: str) -> dict[str, tuple[int, str]]:
    """Returns what may be an items file under a prefix, without listing the images beside them."""
    below = f"{folder}/" if folder else ""
    found: dict[str, tuple[int, str]] = {}
    try:
        for start in ("items", "part-"):
            for key, size_bytes, etag in store.list_etags(below + start):
                found[key.removeprefix(below)] = size_bytes, etag
    except ObjectMissingError as error:
        raise DeliveryError(f"{source}: there is no such bucket; name the prefix of the delivery") from error
    return found


def _size_and_etag(store: ObjectStore, key: str, *, source: str) -> tuple[int, str]:
    try:
        return store.size_and_etag(key)
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


def _marks(folder: Path) -> SourceMarks:
    return _read_marks(lambda name: (folder / name).exists(), lambda name: (folder / name).read_bytes(), str(folder))


def _read_marks(is_there: Callable[[str], bool], read: Callable[[str], bytes], where: str) -> SourceMarks:
    """Reads the marker files, and `delivery.yaml`, which stands over them."""
    marked = SourceMarks(
        full=True if is_there(FULL_MARKER) else None, removal_is_meant=True if is_there(REMOVAL_MARKER) else None
    )
    if not is_there(SIDECAR):
        return marked
    said = _parse_sidecar(read(SIDECAR), where=f"{where.rstrip('/')}/{SIDECAR}")
    return replace(marked, **said)


def _parse_sidecar(data: bytes, *, where: str) -> dict[str, bool | None]:
    try:
        document = yaml.safe_load(data) or {}
    except yaml.YAMLError as error:
        raise DeliveryError(f"{where} is not valid YAML: {error}") from error
    said = document if isinstance(document, dict) else {"full": document}
    known = [field.name for field in fields(SourceMarks)]
    for name, value in said.items():
        if name not in known:
            raise DeliveryError(f"{where}: expected {' or '.join(known)}, found {name!r}")
        if value is not None and not isinstance(value, bool):
            raise DeliveryError(f"{where}: expected `{name}: true` or `{name}: false`, found {value!r}")
    return said
