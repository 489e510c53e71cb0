"""Processes: what is theirs as a whole, what the process table says of them, and when one that keeps dying is given up."""
