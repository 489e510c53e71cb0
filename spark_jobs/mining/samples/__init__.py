"""The items that a training learns from: their head, their split, where their images lie, and their vectors."""
