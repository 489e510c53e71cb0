"""Whoever opens a ledger closes it: its connections would stay open in PostgreSQL until the process ends."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from vitrine.connections import open_connections
from vitrine.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = ("vitrine", "spark_jobs", "training", "index_builder", "monitoring", "serving", "plugins", "deploy")
_FOR_LIFE = {"serving/replica.py"}  # the replica's threads use its ledger until the process ends


def test_every_ledger_that_is_opened_is_closed() -> None:
    files = sorted(path for folder in _FOLDERS for path in (ROOT / folder).rglob("*.py"))
    opening = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in files}

    left_open = [
        f"{path}:{line}"
        for path, text in opening.items()
        if "open_ledger(" in text and str(path) not in _FOR_LIFE
        for line in _left_open(ast.parse(text))
    ]

    assert left_open == []


def test_an_entry_point_that_fails_leaves_no_connection_to_the_ledger(settings: Settings) -> None:
    with pytest.raises(RuntimeError, match="cut short"), open_connections(settings) as (_, ledger):
        pool = ledger.database.engine.pool
        ledger.releases.all_live()
        assert pool.checkedin() == 1  # type: ignore[attr-defined]
        raise RuntimeError("cut short")

    assert pool.checkedin() == 0  # type: ignore[attr-defined]


def _left_open(tree: ast.AST) -> Iterator[int]:
    closed = _closed_names(tree)
    for owner in ast.walk(tree):
        for node in ast.iter_child_nodes(owner):
            if _opens(node) and not _is_closed(owner, closed):
                yield node.lineno


def _opens(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open_ledger"


def _is_closed(owner: ast.AST, closed: set[str]) -> bool:
    """Tells whether what holds the call is closed: `closing(open_ledger(…))`, or a name with a `.close()`."""
    if isinstance(owner, ast.Call):
        return bool(_names(owner.func) & {"closing"})
    names = _names(owner.targets[0]) if isinstance(owner, ast.Assign) else {"ledger"}  # one of several in a tuple
    return bool(names & closed)


def _closed_names(tree: ast.AST) -> set[str]:
    return {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "close"
        for name in _names(node.value)
    }


def _names(node: ast.AST) -> set[str]:
    return {
        part.id if isinstance(part, ast.Name) else part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Name | ast.Attribute)
    }
