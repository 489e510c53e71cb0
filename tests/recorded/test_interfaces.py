"""Names that scripts, stores and dashboards hold on to are as recorded: a change shows in the diff of a file here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.recorded.interfaces import FOLDER, INTERFACES, written


@pytest.mark.parametrize("interface", INTERFACES, ids=lambda interface: interface.__name__)
def test_names_that_users_hold_on_to_are_as_recorded(interface: Callable[[], Any]) -> None:
    recorded = (FOLDER / f"{interface.__name__}.json").read_text(encoding="utf-8")

    assert written(interface()) == recorded, (
        "meant? then `python -m tests.recorded.interfaces`, and say so in CHANGELOG.md"
    )
