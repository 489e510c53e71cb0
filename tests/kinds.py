"""What a test needs, as a marker, and which tests run in one process when several run side by side (pytest-xdist).

A marker follows from the fixtures that a test uses, or from its place, where a test starts by itself what it needs.
`make test-fast` leaves all of them out. What costs most to start is started once, in one process: the tests that share
it are named here by their place, because the process that hands tests out knows no more of them.
"""

from __future__ import annotations

from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from xdist.scheduler import LoadScopeScheduling

# A marker, the fixtures that bring what it names, and the places of tests that bring it themselves.
KINDS: dict[str, tuple[set[str], tuple[str, ...]]] = {
    "platform": ({"platform"}, ()),
    "spark": ({"local_spark", "cluster"}, ()),
    "browser": ({"browser"}, ()),
    "services": (
        {"s3_server", "postgres_uri", "mlflow_uri"},
        (
            "tests/benchmarks/test_index_comparison.py",
            "tests/deploy/keeping/test_keeper.py",
            "tests/deploy/test_lifecycle.py",
            "tests/deploy/test_mlflow_server.py",
            "tests/deploy/test_postgres.py",
            "tests/examples/test_bootstrap_corpus.py",
            "tests/serving/test_connection.py",
            "tests/serving/test_front.py",
            "tests/serving/test_pulse.py",
        ),
    ),
}
# A fixture of the session, and where all tests lie that use it; those whose fixture takes longest come first.
SHARED: dict[str, tuple[str, ...]] = {
    "platform": ("tests/end_to_end/", "tests/deploy/test_lifecycle.py", "tests/deploy/test_mlflow_attack.py"),
    "local_spark": (
        "tests/index_builder/builds/test_encoding.py",
        "tests/spark_jobs/embedding/test_embedding.py",
        "tests/spark_jobs/mining/",
        "tests/spark_jobs/profiling/",
        "tests/spark_jobs/validation/test_validation.py",
        "tests/spark_runtime/",
    ),
    "shop_replica": (  # and `shop`, which it serves
        "tests/serving/test_encoder_identity.py",
        "tests/serving/test_front.py",
        "tests/serving/test_images.py",
        "tests/serving/test_outliving.py",
        "tests/serving/test_picture_bombs.py",
        "tests/serving/test_readme_queries.py",
        "tests/serving/test_replica.py",
        "tests/serving/test_search_api.py",
        "tests/serving/test_search_fuzz.py",
        "tests/serving/test_search_page.py",
    ),
}


def pytest_configure(config: pytest.Config) -> None:
    """Names the markers, so that a misspelt one is refused."""
    for name, (fixtures, _) in KINDS.items():
        config.addinivalue_line("markers", f"{name}: given to tests that use {', '.join(sorted(fixtures))}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test by what it needs, and puts those that share a fixture of the session before all others.

    Raises:
        pytest.UsageError: a test uses such a fixture and lies where it would be started once more.
    """
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        for kind, (fixtures, places) in KINDS.items():
            if used & fixtures or item.nodeid.startswith(places or ("no place",)):
                item.add_marker(kind)
        for fixture in used & set(SHARED):
            if group_of(item.nodeid) not in SHARED:
                raise pytest.UsageError(f"{item.nodeid} uses `{fixture}`: name its place in SHARED of tests/kinds.py")
    order = list(SHARED)
    items.sort(key=lambda item: order.index(group) if (group := group_of(item.nodeid)) in SHARED else len(order))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Ends the fixtures of the session with the last test of a group that shares one: an idle platform takes a core."""
    group = group_of(item.nodeid)
    if group not in SHARED or nextitem is None or group_of(nextitem.nodeid) == group:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    runtestprotocol(item, nextitem=None)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def group_of(nodeid: str) -> str:
    """Returns the fixture that a test shares with others, or else its file, whose tests share what a module makes."""
    for fixture, places in SHARED.items():
        if nodeid.startswith(places):
            return fixture
    return nodeid.partition("::")[0]


class _ByGroup(LoadScopeScheduling):
    """Hands out whole groups."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Has tests handed out by groups where `--dist loadscope` asks for groups."""
    return _ByGroup(config, log) if config.getvalue("dist") == "loadscope" else None
