"""Embedding: every unit of a catalog's manifests gets one committed block under an encoder, and nothing twice."""

from spark_jobs.embedding.job import EmbedSummary, run_embed_job

__all__ = ["EmbedSummary", "run_embed_job"]
