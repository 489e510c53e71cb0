"""Packs of accepted images, and the index that tells in which pack an image lies."""
