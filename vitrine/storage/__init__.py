"""The object store and its keys: where everything immutable lives."""

from vitrine.storage.object_store import ObjectStore

__all__ = ["ObjectStore"]
