"""What Airflow registers of Vitrine; the code is in the package beside it, which Airflow does not scan."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin
from vitrine_airflow.promotion_webhook import webhook_app
from vitrine_airflow.timetables import DailyPartitionTimetable


class VitrinePlugin(AirflowPlugin):
    """Vitrine's timetable, and the route that MLflow's webhook calls."""

    name = "vitrine"
    fastapi_apps = [{"app": webhook_app(), "url_prefix": "/vitrine", "name": "vitrine"}]  # noqa: RUF012 - as below
    timetables = [DailyPartitionTimetable]  # noqa: RUF012 - Airflow reads a plain list
