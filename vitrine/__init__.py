"""The library that all stages of Vitrine share: contracts, storage, ledger, encoder, vector index, releases."""

__version__ = "0.1.0"
