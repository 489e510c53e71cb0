"""What `make demo` and `make ingest` end with works as it stands, also where they end with a refusal."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from deploy.local import catalog_runs
from deploy.local.airflow_api import AirflowError
from deploy.local.catalog_summary import print_catalog
from tests.end_to_end.conftest import CATALOG_ID, DAYS, LATER_DAY, ROOT, Released
from tests.platform_fixture import Platform
from vitrine.catalogs import Catalog

pytestmark = pytest.mark.timeout(3000)


@pytest.fixture(scope="module")
def end(platform: Platform, released: Released) -> str:
    """The end of an ingest of the three days."""
    written = io.StringIO()
    state = catalog_runs.read_catalog_state(platform.configuration, CATALOG_ID)
    print_catalog(platform.configuration, CATALOG_ID, state, days=DAYS, console=Console(file=written, width=80))
    return written.getvalue()


def command(end: str, program: str) -> list[str]:
    [line] = [line for line in end.splitlines() if line.strip().startswith(program)]
    return shlex.split(line)


def test_the_search_that_is_named_finds_something(end: str) -> None:
    done = subprocess.run([*command(end, "curl"), "--fail-with-body"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["results"]


def test_the_item_that_is_named_is_traced(end: str, platform: Platform) -> None:
    # What the Makefile does with these words is seen in tests/docs/test_commands.py.
    given = dict(word.split("=", 1) for word in command(end, "make lineage")[2:])
    words = ["lineage", "--item", given["ITEM"], "--catalog", given.get("CATALOG", CATALOG_ID)]

    done = subprocess.run(
        [sys.executable, "-m", "vitrine", *words],
        cwd=ROOT,
        env=platform.env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert given["ITEM"] in done.stdout


def test_the_next_delivery_that_is_named_is_there(end: str, deliveries: dict[str, str]) -> None:
    given = dict(word.split("=", 1) for word in command(end, "make ingest")[2:])

    assert given == {"SOURCE": deliveries[LATER_DAY], "DT": LATER_DAY, "CATALOG": CATALOG_ID}


def test_each_day_has_its_data_docs(end: str) -> None:
    pages = [Path(line.split()[-1]) for line in end.splitlines() if line.endswith("/index.html")]

    assert [page.parent.name for page in pages] == list(DAYS)
    assert all(page.is_file() for page in pages)


def test_a_delivery_that_is_refused_is_told_by_its_refusal_once_and_first(
    platform: Platform, deliveries: dict[str, str], tmp_path: Path
) -> None:
    source = tmp_path / "without pictures"
    shutil.copytree(deliveries[LATER_DAY], source, ignore=shutil.ignore_patterns("images"))

    with pytest.raises(AirflowError) as refused:
        catalog_runs.ingest(
            platform.configuration,
            Catalog(catalog_id="refused"),
            sources={LATER_DAY: str(source)},
            report=lambda _: None,
        )

    first, *lines = str(refused.value).splitlines()
    assert first == f"catalog refused {LATER_DAY}: the delivery is refused before anything of it is embedded:"
    assert str(refused.value).count("the delivery is refused") == 1
    assert re.search(r"max_missing_image_share: .* NOT MET", "\n".join(lines))
    assert not re.search("::group|Traceback|Warning", str(refused.value))
    assert "failed while validating rows (task validate_items, try 1)" in "\n".join(lines)
    page = platform.configuration.layout.data_docs / "refused" / LATER_DAY / "index.html"
    assert f"  Data Docs    {page}" in lines
    assert page.is_file()
    assert lines[-1] == f"  once fixed   make ingest 'SOURCE={source}' DT={LATER_DAY} CATALOG=refused"
