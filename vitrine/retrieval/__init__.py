"""How good ranked answers are, and how surely that is known."""
