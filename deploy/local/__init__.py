"""The whole platform on one machine: PostgreSQL, an S3 server, MLflow, Airflow and the search tier on loopback.

`python -m deploy.local --help` lists the commands; the Makefile calls them. Modules `prerequisites` and
`environment` run on the system's Python before anything is installed, so they import the standard library only.
"""
