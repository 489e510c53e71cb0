"""The only code that knows Airflow: what the files under `dags/` are written with. Importing it is cheap.

`catalog_dag` makes a DAG of each catalog, `platform_dag` one for all, `run` is what a task knows of its run,
operators do what no task body can.
"""

from vitrine_airflow import run
from vitrine_airflow.catalog_dags import FAIL_ON_RELEASE_ERROR, UNLESS_SKIPPED_ALL, catalog_dag, platform_dag
from vitrine_airflow.embed_head import EmbedHead
from vitrine_airflow.encode_parts import EncodeParts
from vitrine_airflow.forms import BUILD_FORM, INGEST_FORM, RELEASE_FORM, TRAIN_FORM
from vitrine_airflow.ingest_quiet import WaitForIngest
from vitrine_airflow.promotion_watch import champion_moves
from vitrine_airflow.spark import SparkJob
from vitrine_airflow.timetables import daily_partitions, monthly_training
from vitrine_airflow.train_job import TrainJob
from vitrine_airflow.triggering import TriggerBuild, TriggerPromotedBuild, TriggerRelease

__all__ = [
    "BUILD_FORM",
    "FAIL_ON_RELEASE_ERROR",
    "INGEST_FORM",
    "RELEASE_FORM",
    "TRAIN_FORM",
    "UNLESS_SKIPPED_ALL",
    "EmbedHead",
    "EncodeParts",
    "SparkJob",
    "TrainJob",
    "TriggerBuild",
    "TriggerPromotedBuild",
    "TriggerRelease",
    "WaitForIngest",
    "catalog_dag",
    "champion_moves",
    "daily_partitions",
    "monthly_training",
    "platform_dag",
    "run",
]
