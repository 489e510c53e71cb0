"""Spark as every stage runs it: its configuration, its sessions, and the progress of its jobs."""
