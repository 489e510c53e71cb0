"""Runnable examples; `examples.demo_catalog` draws the catalog that the demo and the tests search."""
