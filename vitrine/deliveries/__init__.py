"""Deliveries as they lie somewhere: which files are meant, the rows in them, and what can be said of a row alone."""
