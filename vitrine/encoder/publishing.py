"""Encoders in the object store: published once under their fingerprint, fetched by whoever encodes.

Each file lies under its own hash, `encoders/<fingerprint>/<sha256>/<name>`, because two machines may convert one
encoder to bytes that differ in a detail; `encoder.json`, written last, names the files that belong together.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitrine.contracts.document import StoredFile
from vitrine.encoder.architecture import Architecture
from vitrine.encoder.manifest import MANIFEST_FILE, EncoderManifest
from vitrine.errors import EncoderError, ObjectMissingError
from vitrine.files.locks import locked
from vitrine.files.scratch import scratch_parent, swept_folder
from vitrine.files.whole import whole_folder
from vitrine.identity import ID_LENGTH
from vitrine.images.preprocessing import Preprocessing
from vitrine.ledger import Ledger
from vitrine.storage import keys
from vitrine.storage.object_store import ObjectStore, file_sha256
from vitrine.write_once import put_once

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")  # it names a folder of the cache


def publish_encoder(
    name_or_folder: str | Path,
    object_store: ObjectStore,
    *,
    ledger: Ledger | None = None,
    state_dir: Path | None = None,
) -> str:
    """Converts, checks and uploads an encoder; does nothing when it is there already.

    Args:
        name_or_folder: an encoder folder, or a name on a model hub.
        object_store: where it goes.
        ledger: decides which of several publishers was first; without it nobody else may publish the encoder.
        state_dir: of the platform, where the conversion has a scratch folder; None takes the system's temporary folder.

    Returns:
        The fingerprint.

    Raises:
        EncoderError: it cannot be loaded, or its converted towers do not agree with torch.
        StorageError: the object store failed; running again continues.
    """
    from vitrine.encoder.checkpoint import materialise_checkpoint
    from vitrine.encoder.conversion import convert_checkpoint
    from vitrine.encoder.fingerprint import encoder_fingerprint

    with _scratch(state_dir) as scratch:
        folder = materialise_checkpoint(name_or_folder, scratch / "encoder")
        fingerprint = encoder_fingerprint(folder)
        if is_published(fingerprint, object_store):
            return fingerprint
        parity = convert_checkpoint(folder, folder)
        architecture = Architecture.from_folder(folder)
        files = [
            StoredFile(name=path.name, size_bytes=path.stat().st_size, sha256=file_sha256(path))
            for path in sorted(folder.iterdir())
        ]
        manifest = EncoderManifest(
            fingerprint=fingerprint,
            dimension=architecture.dimension,
            image_size=architecture.image_size,
            context_length=architecture.context_length,
            preprocessing_digest=Preprocessing.from_folder(folder).digest(),
            parity=round(parity, 6),
            files=files,
        )
        for file in files:
            object_store.put_file(_file_key(fingerprint, file), folder / file.name)
        _put_manifest(object_store, ledger, manifest)
    return fingerprint


def is_published(fingerprint: str, object_store: ObjectStore) -> bool:
    """Says whether the whole encoder is in the object store."""
    return object_store.exists(_manifest_key(fingerprint))


def read_manifest(fingerprint: str, object_store: ObjectStore) -> EncoderManifest:
    """Reads `encoder.json` of a published encoder.

    Raises:
        EncoderError: the encoder was never published.
    """
    try:
        return EncoderManifest.from_bytes(object_store.get_bytes(_manifest_key(fingerprint)))
    except ObjectMissingError as error:
        raise EncoderError(
            f"encoder {fingerprint} is not in the object store ({_manifest_key(fingerprint)}); "
            "publish it: python -m training champion"
        ) from error


def fetch_encoder(fingerprint: str, object_store: ObjectStore, cache_folder: Path) -> Path:
    """Brings a published encoder to this machine, checked by SHA-256; at once when it is here already.

    Safe under concurrent processes: one downloads, the others wait for it, and a killed one leaves nothing behind that
    is taken for whole.

    Returns:
        The folder `<cache_folder>/<fingerprint>`, for `load_encoder`.

    Raises:
        EncoderError: the encoder was never published.
        ObjectCorruptError: a file differs from its recorded SHA-256.
    """
    if not _PLAIN.fullmatch(fingerprint):
        raise EncoderError(
            f"{fingerprint[:80]!r} is not a fingerprint: expected letters, digits, dashes and underscores"
        )
    target = cache_folder / fingerprint
    if (target / MANIFEST_FILE).is_file():
        return target
    with locked(cache_folder / f".{fingerprint}.lock"):
        if (target / MANIFEST_FILE).is_file():
            return target
        manifest = read_manifest(fingerprint, object_store)
        with whole_folder(target) as partial:
            partial.mkdir()
            for file in manifest.files:
                if Path(file.name).name != file.name:
                    raise EncoderError(f"{_manifest_key(fingerprint)}: {file.name!r} is not a plain file name")
                object_store.get_file(_file_key(fingerprint, file), partial / file.name, sha256=file.sha256)
            (partial / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    return target


def _put_manifest(object_store: ObjectStore, ledger: Ledger | None, manifest: EncoderManifest) -> None:
    key = _manifest_key(manifest.fingerprint)
    if ledger is None:
        object_store.put_bytes(key, manifest.to_bytes())
        return

    def is_whole(document: bytes) -> bool:
        named = EncoderManifest.from_bytes(document).files
        return all(object_store.exists(_file_key(manifest.fingerprint, file)) for file in named)

    put_once(object_store, ledger, key, manifest.to_bytes(), is_whole=is_whole)


@contextmanager
def _scratch(state_dir: Path | None) -> Iterator[Path]:
    if state_dir is None:
        with tempfile.TemporaryDirectory(prefix="vitrine-publish-") as made:
            yield Path(made)
    else:
        with swept_folder(scratch_parent(state_dir), "publish") as folder:
            yield folder


def _manifest_key(fingerprint: str) -> str:
    return f"{keys.encoder_prefix(fingerprint)}/{MANIFEST_FILE}"


def _file_key(fingerprint: str, file: StoredFile) -> str:
    return f"{keys.encoder_prefix(fingerprint)}/{file.sha256[:ID_LENGTH]}/{file.name}"
