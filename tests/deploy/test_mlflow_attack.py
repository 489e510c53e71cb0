"""MLflow attacked on a running platform: all routes and names, and an eighth of what `make attack` has it open."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.attacks.mlflow_buckets import Target, foreign_locations, mlflow_routes, other_pages, strangers
from tests.platform_fixture import Platform

pytestmark = pytest.mark.timeout(3000)  # the first of them may start the platform


@pytest.fixture
def target(platform: Platform, tmp_path: Path) -> Target:
    """The platform's MLflow."""
    layout, bucket = platform.configuration.layout, platform.settings.bucket
    return Target(
        url=platform.mlflow_url,
        login=platform.configuration.mlflow_login,
        bucket=bucket,
        bucket_folder=layout.s3 / bucket,
        artifacts=layout.mlflow_artifacts,
        outside=tmp_path / "outside",
    )


def test_no_route_of_mlflow_answers_a_stranger(target: Target) -> None:
    routes = mlflow_routes()

    [found] = strangers(target, routes)

    assert found.faults == ()
    assert found.requests > len(routes) > 500


def test_no_other_name_and_no_other_page_is_let_in_with_the_login(target: Target) -> None:
    [found] = other_pages(target)

    assert found.faults == ()


def test_mlflow_opens_neither_the_platforms_bucket_nor_this_machines_files_with_the_login(target: Target) -> None:
    found = foreign_locations(target, every=8)

    assert found.faults == ()
    assert found.requests > 200
