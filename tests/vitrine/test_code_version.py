"""Provenance names the code: a commit, a dirty tree, a packaged build, or that none is known."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import vitrine
from vitrine import code_version as module
from vitrine.code_version import BUILD_FILE, code_version, version_of
from vitrine.provenance import describe_run


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package `vitrine` in a checkout with one commit."""
    package = tmp_path / "checkout" / "vitrine"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        _git(package.parent, *arguments)
    return package


def _git(folder: Path, *arguments: str) -> str:
    name = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    return subprocess.run(
        ["git", *name, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_checkout_is_named_by_its_commit(package: Path) -> None:
    commit = _git(package.parent, "rev-parse", "HEAD")

    assert version_of(package) == f"{vitrine.__version__}+g{commit[:12]}"


@pytest.mark.parametrize("change", ["edited", "added"])
def test_a_tree_that_differs_from_its_commit_says_so(package: Path, change: str) -> None:
    (package / ("__init__.py" if change == "edited" else "new.py")).write_text("x = 1\n")

    assert version_of(package).endswith(".dirty")


@pytest.mark.parametrize(
    "name",
    ["serving/page/cart.js", "serving/page/cart.css", "vitrine/ledger/extra.sql", "dags/.airflowignore", "tool.py"],
)
def test_whatever_is_loaded_makes_a_tree_dirty_before_it_is_added(package: Path, name: str) -> None:
    path = package.parent / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x\n")

    assert version_of(package).endswith(".dirty")


@pytest.mark.parametrize("name", ["items.csv", "report.html", "reports/figures.js", f"vitrine/{BUILD_FILE}"])
def test_files_that_are_no_code_do_not_make_a_tree_dirty(package: Path, name: str) -> None:
    path = package.parent / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("item_id\n")

    assert not version_of(package).endswith(".dirty")


def test_a_repository_that_a_hook_points_at_is_not_asked(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", os.fspath(package / "nowhere"))

    assert version_of(package) == f"{vitrine.__version__}+g{_head(package)[:12]}"


def _head(package: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "GIT_DIR"}
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=package, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_packaged_build_is_named_by_its_id(tmp_path: Path) -> None:
    package = tmp_path / "vitrine"
    package.mkdir()
    (package / BUILD_FILE).write_text("build-20261130.7\n")

    assert version_of(package) == f"{vitrine.__version__}+build-20261130.7"


def test_code_of_which_nothing_is_known_says_so(tmp_path: Path) -> None:
    (tmp_path / "vitrine").mkdir()

    assert version_of(tmp_path / "vitrine") == f"{vitrine.__version__}+unknown"


def test_provenance_names_the_code_and_asks_for_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    code_version.cache_clear()
    asked = []
    monkeypatch.setattr(module, "version_of", lambda package: asked.append(package) or "0.1.0+gabc")

    found = {describe_run(None).code_version for _ in range(3)}
    code_version.cache_clear()

    assert found == {"0.1.0+gabc"}
    assert len(asked) == 1
