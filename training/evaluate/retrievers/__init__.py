"""What answers a report's queries: encoders, and the baselines that stand beside them."""

from training.evaluate.retrievers.retriever import Retriever

__all__ = ["Retriever"]
