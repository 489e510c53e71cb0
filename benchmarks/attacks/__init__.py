"""Attacks on what Vitrine listens to and reads: `make attack`, or `python -m benchmarks.attacks NAME…` for some.

Every module here that has a function `main() -> int` is one attack. It brings what it attacks, on ports and in folders
of its own, ends by itself, says what it does while it goes on, and prints as its last line what it found, with counts:

    requests: 20,000 sent, 0 answered with 5xx, 0 not answered

It returns 0 when all held, else 1. `benchmarks.attacks.__main__` runs each in a process of its own.
"""
