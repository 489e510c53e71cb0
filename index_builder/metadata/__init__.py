"""The item table of an index version: the head's metadata in the order of its rows."""
