"""What is asked of a catalog, and what must come back."""
