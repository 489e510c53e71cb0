"""Parts of a build: cut by content, read as vectors, kept encoded in the store."""
