"""Documents that are written once: of several writers the first one counts, by a commit in the ledger.

An object store that ignores conditional writes lets every racer win (docs/adr/0002), so asking whether a key exists
decides nothing. What is named by all of its content needs none of this: its writers write the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from vitrine.errors import ObjectMissingError
from vitrine.identity import attempt_id
from vitrine.ledger import CommittedAttempt, Ledger
from vitrine.storage import ObjectStore

_SCOPE = "document"


def put_once(
    object_store: ObjectStore,
    ledger: Ledger,
    key: str,
    data: bytes,
    *,
    is_whole: Callable[[bytes], bool] = lambda _: True,
) -> bytes:
    """Writes a small UTF-8 document unless there is one; returns the bytes that stand.

    A loser, and whoever comes later, changes nothing. A writer that dies after its commit has won: the next one writes
    what was committed.

    Args:
        object_store, ledger: of the platform.
        key, data: the document.
        is_whole: whether the files are there that a committed document names; where they were collected as garbage
            together with the document, that of the first writer who finds it so is committed in its place.

    Raises:
        LedgerError: the ledger cannot be reached; nothing was written.
        StorageError: the object store cannot; run it again.
    """
    try:
        return object_store.get_bytes(key)
    except ObjectMissingError:
        pass
    committed, attempt, result = f"{object_store.bucket}/{key}", attempt_id(), {"text": data.decode("utf-8")}
    standing = ledger.attempts.commit(scope=_SCOPE, key=committed, attempt_id=attempt, result=result)
    while standing.attempt_id != attempt and not is_whole(_text(standing)):
        standing = ledger.attempts.replace(
            scope=_SCOPE, key=committed, replaced=standing.attempt_id, attempt_id=attempt, result=result
        )
    object_store.put_bytes(key, _text(standing))
    return _text(standing)


def _text(document: CommittedAttempt) -> bytes:
    return str(document.result["text"]).encode()
