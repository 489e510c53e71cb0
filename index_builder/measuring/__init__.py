"""How well an index finds what it holds: held-out queries, recall against exact search, and the setting that reaches the target."""
