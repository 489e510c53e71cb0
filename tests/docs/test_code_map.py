"""The map of the code names every module, and says what its docstring says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.code_map import CONTRIBUTING, PAGE, ROOMS, ROOT, pages, sentence

EXPECTED = dict(pages())


@pytest.mark.parametrize("page", [PAGE, CONTRIBUTING], ids=lambda page: page.name)
def test_the_map_is_as_the_code_is(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == EXPECTED[page], "run `python -m tests.docs.code_map`"


def test_every_module_and_every_room_is_on_the_map() -> None:
    tree = EXPECTED[PAGE]

    folders = {path.parent.name for path in ROOT.glob("*/*.py")} | {
        path.parents[1].name for path in ROOT.glob("*/*/*.py")
    }
    assert {name for name in folders if not name.startswith(".")} - {"tests"} == set(ROOMS)
    for room in ROOMS:
        section = tree.split(f"## `{room}/`\n")[1].split("\n## ")[0]
        listed = re.findall(r"^ *- `(\w+\.py)`: .*\.$", section, re.MULTILINE)
        assert sorted(listed) == sorted(path.name for path in (ROOT / room).rglob("*.py") if path.name != "__init__.py")


def test_contributing_shows_the_two_top_levels() -> None:
    shown = re.findall(r"^(?:  )?- `(\w+)/`: ", EXPECTED[CONTRIBUTING], re.MULTILINE)

    assert [name for name in shown if name in ROOMS] == list(ROOMS)
    assert {"loop", "head", "builds", "vitrine_airflow", "local"} <= set(shown)


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("Reads rows. Nothing here writes.\n\nMore.", "Reads rows."),
        ("Keys of the 0.1 store, and\nhow they are made.", "Keys of the 0.1 store, and how they are made."),
        ("# Build the index of a catalog's head\n\nRuns daily.", "Build the index of a catalog's head."),
        ("`python -m serving`: run and stop.", "`python -m serving`: run and stop."),
    ],
)
def test_a_line_is_the_first_sentence(docstring: str, expected: str) -> None:
    assert sentence(docstring) == expected
