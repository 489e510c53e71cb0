"""The item table of a release: items by id, filters over their columns, and groups that count as one result."""
