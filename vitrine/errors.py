"""Every error that Vitrine raises on purpose.

    VitrineError
    ├── SettingsError              a setting is missing, malformed or contradicts another
    ├── CatalogError               a catalog is not declared, or its declaration is wrong
    ├── PartitionKeyError          a partition key is missing or is no date
    ├── ContractError              an object, a file or a request breaks its contract
    │   ├── DeliveryError          a delivery cannot be read or recorded
    │   ├── ImageError             image bytes cannot be used: carries a reason code
    │   ├── UncoveredHeadError     the head has items that are not embedded under an encoder
    │   ├── SpaceMixError          vectors of two embedding spaces would meet in one catalog
    │   └── RequestError           a client's request is wrong: carries an HTTP status
    ├── DecodersBusyError          no decoder process is free for a picture, starts, or is let work
    ├── StorageError               the object store failed, or an object is not there
    │   ├── ObjectMissingError
    │   ├── ObjectChangedError     an object of somebody else's is not the one that was listed
    │   └── ObjectCorruptError     bytes differ from the recorded SHA-256
    ├── LedgerError                the ledger cannot be reached or refused a transition
    │   ├── StaleGenerationError   somebody else moved the live pointer first
    │   ├── StaleCandidateError    a candidate is older than the live release
    │   └── StaleDeliveryError     a newer delivery of the day came since
    ├── EncoderError               an encoder cannot be loaded, or fails its checks
    │   └── RegistryError          MLflow cannot be asked, which says nothing about an encoder
    ├── GateError                  a gate refused: data quality, recall, golden queries, counts
    ├── UnforeseenError            a fault in Vitrine or a library, with the row that it was met at
    └── ReleaseError               a release could not be staged, activated or verified

A message says what, where, expected, found and the next step.
"""

from __future__ import annotations

import re

_LOGIN_IN_URL = re.compile(r"(?<=:)//[^/\s@'\"]+@")


class VitrineError(Exception):
    """The root of every error that Vitrine raises on purpose; a login inside a URL never shows in its message."""

    def __str__(self) -> str:
        return _LOGIN_IN_URL.sub("//…@", super().__str__())


class SettingsError(VitrineError):
    """A setting is missing, malformed or contradicts another."""


class CatalogError(VitrineError):
    """A catalog is not declared, or its declaration is wrong."""


class PartitionKeyError(VitrineError):
    """A partition key is missing or is no date."""


class ContractError(VitrineError):
    """An object, a file or a request breaks its contract."""


class DeliveryError(ContractError):
    """A delivery cannot be read or recorded."""


class ImageError(ContractError):
    """Image bytes cannot be used.

    Attributes:
        reason: one of the image reason codes of `vitrine.contracts.items.Reason`.
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class UncoveredHeadError(ContractError):
    """The head has units without vectors under an encoder: embed them, then ask again."""


class SpaceMixError(ContractError):
    """Vectors of two embedding spaces would meet in one catalog."""


class RequestError(ContractError):
    """A client's request is wrong.

    Attributes:
        status: the HTTP status (4xx) that answers it.
        title: a short name of the problem, for problem+json.
    """

    def __init__(self, message: str, *, status: int = 400, title: str = "Bad request") -> None:
        super().__init__(message)
        self.status = status
        self.title = title


class DecodersBusyError(VitrineError):
    """No decoder process is free, starts, or is let work by the machine, which says nothing about the picture."""


class StorageError(VitrineError):
    """The object store failed."""


class ObjectMissingError(StorageError):
    """An object that should exist does not."""


class ObjectChangedError(StorageError):
    """An object of somebody else's is not the one that was listed any more: its ETag is another."""


class ObjectCorruptError(StorageError):
    """An object's bytes differ from the recorded SHA-256."""


class LedgerError(VitrineError):
    """The ledger cannot be reached, or refused a transition."""


class StaleGenerationError(LedgerError):
    """Somebody else moved the live pointer first: read it again and decide again."""


class StaleCandidateError(LedgerError):
    """A candidate is older than the live release; only a person may activate it."""


class StaleHeadError(LedgerError):
    """A manifest was judged by a head that is no longer the catalog's."""


class StaleDeliveryError(LedgerError):
    """A newer delivery of the day came since: what an older one holds is not published any more."""


class EncoderError(VitrineError):
    """An encoder cannot be loaded, or fails its checks."""


class RegistryError(EncoderError):
    """MLflow cannot be reached or failed, which says nothing about the encoder that was asked for."""


class GateError(VitrineError):
    """A gate refused; the message lists every check with its limit and the value found."""


class UnforeseenError(VitrineError):
    """A fault in Vitrine or in a library, with the row that it was met at."""


class ReleaseError(VitrineError):
    """A release could not be staged, activated or verified."""
