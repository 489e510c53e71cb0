"""The README's queries are answered by a search replica as they stand there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.serving.replica_process import ReplicaProcess
from tests.serving.shop_window import ShopWindow

README = Path(__file__).resolve().parents[2] / "README.md"
QUERIES = [
    line.strip().removeprefix("$ ")
    for line in README.read_text(encoding="utf-8").splitlines()
    if line.strip().removeprefix("$ ").startswith("curl ")
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_the_readme_is_answered(
    query: str, shop: ShopWindow, shop_replica: ReplicaProcess, tmp_path: Path
) -> None:
    for named in re.findall(r"image=@(\S+)", query):  # of the demo catalog
        (tmp_path / named).parent.mkdir(parents=True)
        (tmp_path / named).write_bytes(shop.pictures[0])
    here = re.sub(r"localhost:8000|http://127\.0\.0\.1:8000", shop_replica.url, query)
    here = here.replace("catalog=demo", "catalog=shop")

    done = subprocess.run(
        [*shlex.split(here), "--fail-with-body"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["release_id"] == shop.encoded.release_id


def test_the_readme_shows_queries() -> None:
    assert len(QUERIES) >= 4
