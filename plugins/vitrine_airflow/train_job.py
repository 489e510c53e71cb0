"""Trainings: `spark-submit` of the stage `training`, where TorchDistributor starts further processes."""

from __future__ import annotations

from vitrine_airflow.spark import StageJob


class TrainJob(StageJob):
    """Runs one verb of `training` by spark-submit, on the master that the connection `spark_default` names.

    Args:
        verb: `run-training`.
        options: command line options without dashes; True is a flag, None and False are left out (templated).
    """

    stage = "training"
