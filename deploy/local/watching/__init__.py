"""Watches DAG runs, shows how far along they are, and explains why one failed.

`run_watch` polls Airflow, `stages` turns the answers into stages, `display` shows them; `failures` explains a failure.
"""
