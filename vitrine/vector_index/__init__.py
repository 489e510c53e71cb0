"""Opening and searching an index version: memory-mapped, of one or several shards, with filters that never shrink
an answer."""

from vitrine.vector_index.index import VectorIndex
from vitrine.vector_index.shards import INDEX_FILE, REFINEMENT_FILE, Shard, open_shard

__all__ = ["INDEX_FILE", "REFINEMENT_FILE", "Shard", "VectorIndex", "open_shard"]
