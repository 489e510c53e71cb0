"""Recipes and their peers compared: each system builds and searches in a process of its own, asked in turns."""
