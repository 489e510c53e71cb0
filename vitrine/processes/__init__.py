"""Processes: the state that is a whole process's, the table of them, and when one that keeps dying is given up."""
