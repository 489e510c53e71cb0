"""What a test needs, as a marker, and which tests share a process when several run side by side (pytest-xdist).

A marker follows from the fixtures that a test uses, or from the folder or file that it lies in, where a test starts by
itself what it needs. `make test-fast` leaves all of them out.
"""

from __future__ import annotations

import pytest

# A marker, the fixtures that bring what it names, and the paths of tests that bring it themselves.
KINDS = {
    "platform": ({"platform"}, ("tests/end_to_end/",)),
    "spark": ({"local_spark", "cluster"}, ()),
    "browser": ({"browser"}, ()),
    "services": ({"s3_server", "postgres_uri", "mlflow_uri"}, ()),
}
# What costs most to start is started in one process alone, and first, since the others go on beside it.
_SHARED = {"platform": "platform", "local_spark": "spark", "shop": "shop", "tier": "shop"}


def pytest_configure(config: pytest.Config) -> None:
    """Names the markers, so that a misspelt one is refused."""
    for name, (fixtures, _) in KINDS.items():
        config.addinivalue_line("markers", f"{name}: given to tests that use {', '.join(sorted(fixtures))}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test by what it needs, and puts those that share a costly fixture before all others."""
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        for kind, (fixtures, paths) in KINDS.items():
            if used & fixtures or item.nodeid.startswith(paths):
                item.add_marker(kind)
        item.add_marker(pytest.mark.xdist_group(_group(item, used)))
    first = list(dict.fromkeys(_SHARED.values()))
    items.sort(key=lambda item: first.index(group) if (group := _group_of(item)) in first else len(first))


def _group(item: pytest.Item, used: set[str]) -> str:
    """The group of a shared fixture, or else the file: its tests share what is made once for a module."""
    return next((group for fixture, group in _SHARED.items() if fixture in used), item.nodeid.partition("::")[0])


def _group_of(item: pytest.Item) -> str:
    marker = item.get_closest_marker("xdist_group")
    return str(marker.args[0]) if marker else ""
