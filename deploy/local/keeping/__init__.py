"""Keeps the services running: notices what died or hangs, brings it back with back-off, and says so.

`keeper` does it and `watch` does it for the keeper; `make up` starts the two, `make down` ends them first.
"""
