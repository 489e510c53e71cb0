"""Releases on this machine's disk: downloaded once, checked by SHA-256, kept while they can still be needed.

cache/<catalog>/releases/<release_id>.json   written last: a release whose file exists was whole
cache/<catalog>/indexes/<index_version>/…
cache/<catalog>/item_tables/<item_table_id>/…
cache/encoders/<fingerprint>/…
cache/.removed/…                             renamed there at once, deleted in time
"""

from __future__ import annotations

import shutil
import threading
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vitrine.contracts.document import StoredFile
from vitrine.contracts.releases import IndexVersion, ItemTable, Release
from vitrine.encoder.manifest import EncoderManifest
from vitrine.encoder.publishing import fetch_encoder
from vitrine.errors import ContractError, EncoderError, ObjectCorruptError, ReleaseError, StorageError
from vitrine.files.whole import replace_file, whole_file
from vitrine.storage import ObjectStore, keys
from vitrine.storage.object_store import file_sha256

MANIFEST_FILE = "manifest.json"
_ASK_EVERY_S = 0.2
_NOT_SERVED = "rows/"  # the item table says which row is which item


@dataclass(frozen=True)
class CachedRelease:
    """A release whose files are on this disk."""

    release: Release
    index: IndexVersion
    index_folder: Path
    items: ItemTable
    items_folder: Path
    encoder_folder: Path | None  # None in a catalog that brings vectors


class ReleaseCache:
    """The cache of one replica; one process writes, by any number of threads, and any number of processes read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._removed = folder / ".removed"
        self._lock = threading.Lock()
        self._claims: Counter[Path] = Counter()
        # Two releases may share an index or an encoder: it is brought once.
        self._bringing: dict[Path, threading.Lock] = defaultdict(threading.Lock)

    def fetch(self, catalog_id: str, release_id: str, object_store: ObjectStore) -> CachedRelease:
        """Brings a release to this disk; files that are here and right are kept, so a second try continues.

        Raises:
            ReleaseError: the parts of the release do not belong together.
            ObjectCorruptError: a file differs from its recorded SHA-256.
            StorageError: the object store failed.
        """
        release = Release.from_bytes(object_store.get_bytes(keys.release(catalog_id, release_id)))
        index_prefix = keys.index_prefix(catalog_id, release.index_version)
        items_prefix = keys.item_table_prefix(catalog_id, release.item_table_id)
        index = IndexVersion.from_bytes(object_store.get_bytes(f"{index_prefix}/{MANIFEST_FILE}"))
        items = ItemTable.from_bytes(object_store.get_bytes(f"{items_prefix}/{MANIFEST_FILE}"))
        _check_parts(catalog_id, release_id, release, index, items)
        files_prefix = keys.item_table_files_prefix(catalog_id, release.item_table_id, attempt_id=items.attempt_id)
        with self._claim(self._paths(release)):
            for folder, prefix, manifest, files in (
                (self._index_folder(release), index_prefix, index, index.files),
                (self._items_folder(release), files_prefix, items, items.files),
            ):
                with self._alone(folder, object_store):
                    for partial in folder.rglob(".*.partial*"):  # of a process that was killed
                        partial.unlink(missing_ok=True)
                    for file in _served(files):
                        _fetch_file(object_store, f"{prefix}/{file.name}", _inside(folder, file), file)
                    _write(folder / MANIFEST_FILE, manifest.to_bytes())
            if release.space == "encoder":
                self._fetch_encoder(release.fingerprint, object_store)
            object_store.check()
            _write(self._release_file(catalog_id, release_id), release.to_bytes())
            return self.open(catalog_id, release_id)

    def open(self, catalog_id: str, release_id: str) -> CachedRelease:
        """Returns a release that was fetched; reads manifests only.

        Raises:
            ReleaseError: it is not here, or its parts do not belong together.
        """
        path = self._release_file(catalog_id, release_id)
        try:
            release = Release.from_bytes(path.read_bytes())
            index_folder, items_folder = self._index_folder(release), self._items_folder(release)
            index = IndexVersion.from_bytes((index_folder / MANIFEST_FILE).read_bytes())
            items = ItemTable.from_bytes((items_folder / MANIFEST_FILE).read_bytes())
        except (OSError, ContractError) as error:
            raise ReleaseError(
                f"catalog {catalog_id}: release {release_id} is not whole on this disk: {error}"
            ) from error
        _check_parts(catalog_id, release_id, release, index, items)
        encoder_folder = self._folder / "encoders" / release.fingerprint if release.space == "encoder" else None
        return CachedRelease(release, index, index_folder, items, items_folder, encoder_folder)

    def check(self, catalog_id: str, release_id: str, *, check: Callable[[], None] | None = None) -> CachedRelease:
        """Returns a release that was fetched, after comparing every file with its recorded SHA-256.

        Args:
            check: called for every piece; what it raises ends the reading.

        Raises:
            ReleaseError: it is not here, or a file differs.
        """
        cached = self.open(catalog_id, release_id)
        for folder, files in ((cached.index_folder, cached.index.files), (cached.items_folder, cached.items.files)):
            for file in _served(files):
                if not _is_right(_inside(folder, file), file, check):
                    raise ReleaseError(
                        f"catalog {catalog_id}: release {release_id}: {_inside(folder, file)} differs from its "
                        f"recorded SHA-256 {file.sha256}; it has to be downloaded again"
                    )
        encoder_folder, fingerprint = cached.encoder_folder, cached.release.fingerprint
        fault = _encoder_fault(encoder_folder, fingerprint, check) if encoder_folder else None
        if fault:
            raise ReleaseError(f"catalog {catalog_id}: release {release_id}: {fault}; it has to be downloaded again")
        return cached

    def prune(self, keep: Iterable[tuple[str, str]]) -> list[Path]:
        """Takes out of the cache what no kept (catalog_id, release_id) and no release on its way needs; at once.

        Returns:
            What was taken out. It uses the disk until `delete_removed`.
        """
        wanted: set[Path] = set()
        for catalog_id, release_id in keep:
            path = self._release_file(catalog_id, release_id)
            if path.is_file():
                wanted |= self._paths(Release.from_bytes(path.read_bytes()))
        removed = []
        patterns = ("*/releases/*.json", "*/indexes/*", "*/item_tables/*", "encoders/*")
        self._removed.mkdir(parents=True, exist_ok=True)
        with self._lock:
            # Releases first: what remains of a pruning that was cut short is files that no release claims.
            for path in [path for pattern in patterns for path in sorted(self._folder.glob(pattern))]:
                if path in wanted or self._claims[path] or path.name.startswith("."):
                    continue
                path.rename(self._removed / uuid.uuid4().hex)
                removed.append(path)
        return removed

    def delete_removed(self) -> None:
        """Deletes what `prune` took out, now or in an earlier life; takes as long as its size asks for.

        Raises:
            OSError: something cannot be deleted.
        """
        for path in self._removed.glob("*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    @contextmanager
    def _claim(self, paths: set[Path]) -> Iterator[None]:
        """Keeps `prune` away from what is being brought and belongs to no release yet."""
        with self._lock:
            self._claims.update(paths)
        try:
            yield
        finally:
            with self._lock:
                self._claims.subtract(paths)

    @contextmanager
    def _alone(self, folder: Path, object_store: ObjectStore) -> Iterator[None]:
        with self._lock:
            mine = self._bringing[folder]
        while not mine.acquire(timeout=_ASK_EVERY_S):
            object_store.check()
        try:
            yield
        finally:
            mine.release()

    def _fetch_encoder(self, fingerprint: str, object_store: ObjectStore) -> None:
        """Brings an encoder here; one that lies here and is another by now, or not whole, is replaced."""
        with self._alone(self._folder / "encoders" / fingerprint, object_store):
            folder = fetch_encoder(fingerprint, object_store, self._folder / "encoders")
            if _encoder_fault(folder, fingerprint, object_store.check):
                shutil.rmtree(folder)
                fetch_encoder(fingerprint, object_store, self._folder / "encoders")

    def _paths(self, release: Release) -> set[Path]:
        return {
            self._release_file(release.catalog_id, release.release_id),
            self._index_folder(release),
            self._items_folder(release),
            self._folder / "encoders" / release.fingerprint,
        }

    def _release_file(self, catalog_id: str, release_id: str) -> Path:
        return self._folder / catalog_id / "releases" / f"{release_id}.json"

    def _index_folder(self, release: Release) -> Path:
        return self._folder / release.catalog_id / "indexes" / release.index_version

    def _items_folder(self, release: Release) -> Path:
        return self._folder / release.catalog_id / "item_tables" / release.item_table_id


def _check_parts(catalog_id: str, release_id: str, release: Release, index: IndexVersion, items: ItemTable) -> None:
    """Refuses a release whose model and index would not move together."""
    expectations = (
        ("release id", release_id, release.release_id),
        ("catalog of the release", catalog_id, release.catalog_id),
        ("catalog of the index", catalog_id, index.catalog_id),
        ("index version", release.index_version, index.index_version),
        ("encoder fingerprint of the index", release.fingerprint, index.fingerprint),
        ("dimension of the index", release.dimension, index.dimension),
        ("items of the index", release.items, index.items),
        ("item table", release.item_table_id, items.item_table_id),
        ("index version of the item table", release.index_version, items.index_version),
        ("items of the item table", release.items, items.items),
    )
    for what, expected, found in expectations:
        if expected != found:
            raise ReleaseError(
                f"catalog {catalog_id}: release {release_id}: {what}: expected {expected}, found {found}; "
                "build the release again"
            )


def _served(files: Iterable[StoredFile]) -> list[StoredFile]:
    return [file for file in files if not file.name.startswith(_NOT_SERVED)]


def _inside(folder: Path, file: StoredFile) -> Path:
    name = PurePosixPath(file.name)
    if name.is_absolute() or ".." in name.parts or not name.parts:
        raise ReleaseError(f"{folder}: {file.name!r} is not the name of a file in a release")
    return folder / name


def _encoder_fault(folder: Path, fingerprint: str, check: Callable[[], None] | None) -> str | None:
    """Says why a folder does not hold the encoder of a fingerprint, or returns None.

    `encoder.json` alone says little: other weights beside it would answer under its name.
    """
    try:
        manifest = EncoderManifest.from_folder(folder)
    except (EncoderError, ContractError) as error:
        return f"{folder} holds no encoder: {error}"
    if manifest.fingerprint != fingerprint:
        return f"{folder}: expected encoder {fingerprint}, found {manifest.fingerprint}"
    wrong = [file.name for file in manifest.files if not _is_right(_inside(folder, file), file, check)]
    return f"{folder / wrong[0]} differs from its recorded SHA-256" if wrong else None


def _is_right(path: Path, file: StoredFile, check: Callable[[], None] | None) -> bool:
    is_whole = path.is_file() and path.stat().st_size == file.size_bytes
    return is_whole and file_sha256(path, check=check) == file.sha256


def _fetch_file(object_store: ObjectStore, key: str, path: Path, file: StoredFile) -> None:
    if _is_right(path, file, object_store.check):
        return
    with whole_file(path) as partial:
        object_store.get_file(key, partial, sha256=file.sha256)
        if partial.stat().st_size != file.size_bytes:
            raise ObjectCorruptError(f"{key}: expected {file.size_bytes} bytes; build it again")


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data, durably=False)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error}") from error
