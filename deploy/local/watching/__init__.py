"""Watches DAG runs, shows a person how far they are, and says why one failed.

`run_watch` asks Airflow, `stages` puts the answers in words, `display` shows them; `failures` explains what went wrong.
"""
