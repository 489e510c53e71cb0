"""Encoded parts in the store: named by quantizer and content, so what was encoded once is never encoded again."""

from __future__ import annotations

from pathlib import Path

from vitrine.contracts.document import StoredFile
from vitrine.contracts.index_builds import EncodedPart, PlannedPart
from vitrine.errors import ContractError
from vitrine.identity import attempt_id
from vitrine.ledger import Ledger
from vitrine.storage import ObjectStore, keys
from vitrine.storage.object_store import file_sha256
from vitrine.write_once import put_once

_MANIFEST = "part.json"


def encoded_part_ids(object_store: ObjectStore, catalog_id: str, quantizer_id: str) -> set[str]:
    """Returns the ids of the parts that a quantizer has encoded."""
    prefix = f"{keys.encoded_parts_prefix(catalog_id, quantizer_id)}/"
    found = (key.removeprefix(prefix).split("/") for key in object_store.list_keys(prefix))
    return {path[0] for path in found if path[1:] == [_MANIFEST]}


def put_encoded_part(
    object_store: ObjectStore,
    catalog_id: str,
    quantizer_id: str,
    planned: PlannedPart,
    folder: Path,
    *,
    ledger: Ledger | None = None,
) -> EncodedPart:
    """Stores the files under `folder` as an encoded part: data first, `part.json` last; returns the part that stands.

    One thread encodes equal rows to equal bytes, so of attempts that race either is right; each has keys of its own,
    and with a `ledger` the first one counts. Without it nobody else may encode the part.
    """
    prefix = keys.encoded_part_prefix(catalog_id, quantizer_id, planned.part_id)
    attempt = attempt_id()
    files = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = f"{attempt}/{path.relative_to(folder)}"
        files.append(StoredFile(name=name, size_bytes=path.stat().st_size, sha256=file_sha256(path)))
        object_store.put_file(f"{prefix}/{name}", path)
    encoded = EncodedPart(part_id=planned.part_id, quantizer_id=quantizer_id, rows=planned.rows, files=tuple(files))
    key = f"{prefix}/{_MANIFEST}"
    if ledger is None:
        object_store.put_bytes(key, encoded.to_bytes())
        return encoded

    def is_whole(document: bytes) -> bool:
        return all(object_store.exists(f"{prefix}/{file.name}") for file in EncodedPart.from_bytes(document).files)

    return EncodedPart.from_bytes(put_once(object_store, ledger, key, encoded.to_bytes(), is_whole=is_whole))


def fetch_encoded_part(
    object_store: ObjectStore, catalog_id: str, quantizer_id: str, planned: PlannedPart, folder: Path
) -> None:
    """Downloads an encoded part into `folder`, checked by SHA-256.

    Raises:
        ObjectMissingError: it was never encoded.
        ContractError: it holds other rows than the plan says.
    """
    prefix = keys.encoded_part_prefix(catalog_id, quantizer_id, planned.part_id)
    encoded = EncodedPart.from_bytes(object_store.get_bytes(f"{prefix}/{_MANIFEST}"))
    if encoded.rows != planned.rows:
        raise ContractError(
            f"s3://{object_store.bucket}/{prefix}: expected {planned.rows} rows, found {encoded.rows}; delete the "
            "part and encode it again"
        )
    for file in encoded.files:
        path = folder / file.name.partition("/")[2]
        object_store.get_file(f"{prefix}/{file.name}", path, sha256=file.sha256)
