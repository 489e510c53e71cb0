"""The file that spark-submit is handed runs the commands of the stage that is named first, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from spark_runtime.submit import STAGES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose stages print their arguments; beside the submitted file lies a module that shadows `json`."""
    for stage in STAGES:
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "__main__.py").write_text(
            "import json\n"
            "print('loaded', __name__)\n"
            "def main(arguments):\n"
            "    print(json.dumps(arguments))\n"
            "    return 7\n"
        )
    (tmp_path / "spark_runtime").mkdir()
    shutil.copy(ROOT / "spark_runtime" / "submit.py", tmp_path / "spark_runtime")
    (tmp_path / "spark_runtime" / "json.py").write_text("raise ImportError('not the standard library')\n")
    return tmp_path


def submit(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(checkout / "spark_runtime" / "submit.py"), *words]
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("stage", STAGES)
def test_the_named_stage_alone_is_loaded_gets_the_rest_and_gives_the_status(stage: str, checkout: Path) -> None:
    done = submit(checkout, stage, "encode", "--catalog", "demo")

    assert done.stdout.splitlines() == [f"loaded {stage}.__main__", '["encode", "--catalog", "demo"]']
    assert (done.returncode, done.stderr) == (7, "")


@pytest.mark.parametrize("words", [("serving", "run"), ("json",), ()])
def test_anything_else_is_refused_by_name(words: tuple[str, ...], checkout: Path) -> None:
    done = submit(checkout, *words)

    found = words[0] if words else "nothing"
    expected = f"error: expected a stage that has Spark jobs (index_builder, spark_jobs, training), found {found}\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_takes_its_arguments_from_the_submitted_file(stage: str) -> None:
    with pytest.raises(SystemExit) as left:
        import_module(f"{stage}.__main__").main(["--help"])

    assert left.value.code == 0
