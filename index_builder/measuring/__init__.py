"""How much of exact search an index finds: held-out queries, recall, and the cheapest setting that reaches the goal."""
