"""Validation: Great Expectations on a delivery's candidate rows, the partition gate, and the manifest."""

from spark_jobs.validation.partition import validate_partition

__all__ = ["validate_partition"]
