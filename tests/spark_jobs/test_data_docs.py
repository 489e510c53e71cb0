"""The local copy of a day's Data Docs: whole, and without what a killed validation left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from spark_jobs.validation.data_docs import keep_local_copy

ROOT = Path(__file__).resolve().parents[2]
_DIE_HALF_WAY = """
import os, shutil, sys
from pathlib import Path
from spark_jobs.validation.data_docs import keep_local_copy
def copy_one(source, target, **_):
    Path(target).mkdir()
    shutil.copy(Path(source) / "index.html", target)
    os._exit(9)
shutil.copytree = copy_one
keep_local_copy(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_what_a_killed_validation_left_goes_with_the_next_one(tmp_path: Path) -> None:
    docs, catalog = tmp_path / "docs", tmp_path / "shop"
    docs.mkdir()
    (docs / "index.html").write_text("checks")
    died = subprocess.run(
        [sys.executable, "-c", _DIE_HALF_WAY, str(docs), str(catalog / "2026-11-01")], cwd=ROOT, check=False
    )
    left = list(catalog.rglob("index.html"))

    page = keep_local_copy(docs, catalog / "2026-11-02")

    assert (died.returncode, len(left)) == (9, 1)
    assert list(catalog.rglob("index.html")) == [page]
    assert page.read_text() == "checks"
