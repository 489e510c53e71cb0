"""Migrates Airflow's database and makes the pools, in one process: importing Airflow takes seconds."""

from __future__ import annotations

import sys

from airflow.models.pool import Pool
from airflow.utils.db import initdb
from airflow.utils.session import create_session

from deploy.local.configuration import POOLS

_MADE_BY_AIRFLOW = 128  # slots of the default pool in a new database


def migrate() -> None:
    """Migrates, and makes each pool of the platform that is not there; slots that people changed stay."""
    initdb()
    with create_session() as session:
        known = {pool.pool: pool.slots for pool in Pool.get_pools(session=session)}
    if known.get(Pool.DEFAULT_POOL_NAME) == _MADE_BY_AIRFLOW:
        del known[Pool.DEFAULT_POOL_NAME]
    for name, slots in POOLS.items():
        if name not in known:
            Pool.create_or_update_pool(name, slots=slots, description=f"{name} work of Vitrine", include_deferred=False)


if __name__ == "__main__":
    migrate()
    sys.exit(0)
