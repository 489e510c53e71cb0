"""The head of a catalog, and the embedding set that covers it under one encoder."""
