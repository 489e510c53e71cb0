"""Arrays and sets over the rows of an index version, mapped from disk."""
