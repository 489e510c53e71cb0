"""Documents that are written once: of several writers the first one counts, by a commit in the ledger.

An object store that ignores conditional writes lets every racer win (docs/adr/0002), so asking whether a key exists
decides nothing. What is named by all of its content needs none of this: its writers write the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from vitrine.errors import ObjectMissingError
from vitrine.identity import attempt_id
from vitrine.ledger import Ledger
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
            together with the document, `data` stands in its place.

    Raises:
        LedgerError: the ledger cannot be reached; nothing was written.
        StorageError: the object store cannot; run it again.
    """
    try:
        return object_store.get_bytes(key)
    except ObjectMissingError:
        pass
    standing = ledger.attempts.commit(
        scope=_SCOPE,
        key=f"{object_store.bucket}/{key}",
        attempt_id=attempt_id(),
        result={"text": data.decode("utf-8")},
    )
    winner = str(standing.result["text"]).encode()
    if not is_whole(winner):
        winner = data
    object_store.put_bytes(key, winner)
    return winner
