"""The DAG files: what they make, how light they are, and that they read like a table of contents."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.local.configuration import POOLS
from tests.dags.conftest import CATALOGS, ROOT

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

DAG_FILES = sorted((ROOT / "dags").glob("*.py"))
PLATFORM_DAGS = {"watch_promotions"}
HEAVY = ("torch", "pyspark", "faiss", "mlflow", "pandas", "pyarrow", "numpy", "transformers", "boto3", "sklearn")


def test_each_catalog_has_its_dags_and_only_one_with_an_encoder_trains_it(dag_bag: DagBag) -> None:
    expected = {f"{c}.{name}" for c in ("demo", "shop") for name in ("ingest_catalog", "build_index", "release_index")}
    expected |= {"demo.train_encoder"}

    assert dag_bag.import_errors == {}
    assert set(dag_bag.dags) == expected | PLATFORM_DAGS


def test_a_dag_file_parses_without_anything_heavy(tmp_path: Path) -> None:
    (tmp_path / "catalogs.yaml").write_text(CATALOGS)
    script = (
        "import importlib.util, sys\n"
        "for path in sys.argv[1:]:\n"
        "    spec = importlib.util.spec_from_file_location('parsed', path)\n"
        "    spec.loader.exec_module(importlib.util.module_from_spec(spec))\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, DAG_FILES)],
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
            "VITRINE_CATALOGS_FILE": str(tmp_path / "catalogs.yaml"),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_no_catalog_means_no_dag_but_the_platforms_and_no_error(parse: Callable[[str], DagBag]) -> None:
    dag_bag = parse("catalogs: {}\n")

    assert set(dag_bag.dags) == PLATFORM_DAGS
    assert dag_bag.import_errors == {}


def test_a_catalog_that_is_added_gets_its_dags_at_the_next_parse(parse: Callable[[str], DagBag]) -> None:
    before = set(parse(CATALOGS).dags)

    after = set(parse(CATALOGS + "  grocery: {}\n").dags)

    assert after - before == {
        f"grocery.{name}" for name in ("ingest_catalog", "build_index", "release_index", "train_encoder")
    }


def test_a_wrong_declaration_is_an_import_error_that_names_the_file_and_the_catalog(
    parse: Callable[[str], DagBag],
) -> None:
    dag_bag = parse("catalogs:\n  demo: {colour: red}\n")

    assert set(dag_bag.dags) == PLATFORM_DAGS
    assert len(dag_bag.import_errors) == len(DAG_FILES) - len(PLATFORM_DAGS)
    assert all("catalogs.yaml" in text and "'demo'" in text for text in dag_bag.import_errors.values())


def test_every_pool_that_a_task_names_is_made_by_the_set_up(dag_bag: DagBag) -> None:
    used = {task.pool for dag in dag_bag.dags.values() for task in dag.tasks}

    assert used <= {*POOLS, "default_pool"}
    assert {"spark", "gpu", "index", "release"} <= used


def test_catalogs_release_side_by_side_and_each_catalog_one_release_at_a_time(dag_bag: DagBag) -> None:
    dags = [dag for dag_id, dag in dag_bag.dags.items() if dag_id.endswith(".release_index")]

    assert [dag.max_active_runs for dag in dags] == [1, 1]
    assert POOLS["release"] >= len(dags)


def test_the_dags_survive_the_way_through_airflows_database(dag_bag: DagBag) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    restored = {
        dag_id: DagSerialization.from_dict(DagSerialization.to_dict(dag)) for dag_id, dag in dag_bag.dags.items()
    }

    assert restored["shop.ingest_catalog"].timetable.summary == "0 0 * * *"
    assert restored["demo.ingest_catalog"].timetable.summary == "by hand"
    by_themselves = (".ingest_catalog", ".train_encoder")
    assert all(dag.timetable.periodic == dag_id.endswith(by_themselves) for dag_id, dag in restored.items())


def test_nothing_is_embedded_before_the_gate_has_passed(dag_bag: DagBag) -> None:
    dag = dag_bag.dags["demo.ingest_catalog"]

    assert "validate_items" in dag.get_task("embed_images").get_flat_relative_ids(upstream=True)
    assert "embed_images" in dag.get_task("publish_partition").get_flat_relative_ids(upstream=True)


def test_nothing_goes_live_without_gate_and_staging(dag_bag: DagBag) -> None:
    dag = dag_bag.dags["demo.release_index"]

    before = dag.get_task("activate_release").get_flat_relative_ids(upstream=True)

    assert {"gate_release", "stage_release"} <= before
    assert dag.get_task("verify_release").upstream_task_ids >= {"activate_release"}


def test_every_dag_runs_once_at_a_time_within_a_limit_and_shows_its_page(dag_bag: DagBag) -> None:
    for dag in dag_bag.dags.values():
        assert dag.max_active_runs == 1
        assert dag.dagrun_timeout is not None
        assert dag.catchup is False
        assert dag.doc_md.startswith("# ")
        assert "**When:**" in dag.doc_md
        for task in dag.tasks:
            assert task.retries >= 1
            assert task.on_failure_callback


def test_the_page_of_a_dag_names_each_of_its_tasks(dag_bag: DagBag) -> None:
    for dag in dag_bag.dags.values():
        missing = [task.task_id for task in dag.tasks if f"`{task.task_id}`" not in dag.doc_md]

        assert missing == [], dag.dag_id


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.name)
def test_a_dag_file_has_no_loops_and_no_conditions_and_imports_only_what_parses_fast(path: Path) -> None:
    tree = ast.parse(path.read_text())

    banned = (ast.For, ast.While, ast.If, ast.IfExp, ast.Try, ast.ListComp, ast.DictComp, ast.Lambda)
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, banned)] == []
    modules = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert not [node for node in tree.body if isinstance(node, ast.Import)]
    assert all(module.split(".")[0:2] in (["airflow", "sdk"], ["vitrine_airflow"]) for module in modules if module)


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.name)
def test_a_task_is_one_lazy_import_and_one_call(path: Path) -> None:
    [layout] = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    tasks = [node for node in layout.body if isinstance(node, ast.FunctionDef)]

    assert tasks
    for task in tasks:
        assert [type(statement) for statement in task.body][:1] == [ast.ImportFrom], task.name
        assert len(task.body) == 2, task.name


def test_airflow_scans_only_the_registration_file_under_plugins() -> None:
    ignored = (ROOT / "plugins" / ".airflowignore").read_text().split()

    assert [path.name for path in (ROOT / "plugins").glob("*.py")] == ["vitrine_plugin.py"]
    assert "vitrine_airflow" in ignored


def test_the_page_of_all_dags_is_what_the_code_says() -> None:
    script = "from vitrine_airflow.documentation import PAGE, render; print(PAGE.read_text() == render())"

    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split()[-1] == "True", "run `python -m vitrine_airflow.documentation`"
