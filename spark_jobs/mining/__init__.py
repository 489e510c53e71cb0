"""Mining: what an encoder learns from, out of a catalog's head, its event log and one embedding set, as of a day."""

from spark_jobs.mining.job import run_mine_job
from spark_jobs.mining.plan import plan_training_set, read_plan

__all__ = ["plan_training_set", "read_plan", "run_mine_job"]
