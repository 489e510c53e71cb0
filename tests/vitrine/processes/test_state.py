"""What belongs to a whole process is set by entry points, or for the length of a block by `vitrine.processes.state`."""

from __future__ import annotations

import ast
import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from vitrine.processes.state import (
    csv_field_limit,
    environment,
    environment_defaults,
    faiss_threads,
    garbage_kept,
    logger_level,
    modules_left_out,
    present_objects_frozen,
    temporary_files_in,
    torch_threads,
)

ROOT = Path(__file__).resolve().parents[3]
CODE = ("vitrine", "spark_jobs", "training", "index_builder", "monitoring", "serving", "deploy", "plugins", "dags")
HERE = "vitrine/processes/state.py"

# By the last names of a call, as in `faiss.omp_set_num_threads(1)`.
SETTERS = {
    *("omp_set_num_threads", "set_num_threads", "set_num_interop_threads", "set_cpu_count", "set_io_thread_count"),
    *("manual_seed", "set_default_dtype", "use_deterministic_algorithms", "set_float32_matmul_precision"),
    *("random.seed", "signal.signal", "signal.setitimer", "signal.alarm", "os.chdir", "os.umask", "os.nice"),
    *("os.putenv", "os.unsetenv", "setlocale", "tzset", "basicConfig", "logging.disable", "captureWarnings"),
    *("simplefilter", "filterwarnings", "set_start_method", "field_size_limit", "setrecursionlimit", "setrlimit"),
    *(
        "setdefaulttimeout",
        "set_tracking_uri",
        "set_registry_uri",
        "set_experiment",
        "seterr",
        "set_option",
        "set_verbosity",
    ),
    *("disable_progress_bar", "setswitchinterval", "faulthandler.enable", "gc.disable", "gc.freeze"),
    *("os.environ.update", "os.environ.setdefault", "os.environ.pop", "os.environ.clear"),
}
ATTRIBUTES = {
    *("MAX_IMAGE_PIXELS", "LOAD_TRUNCATED_IMAGES", "SAFEBLOCK", "MAX_TEXT_CHUNK", "MAX_TEXT_MEMORY"),
    *("tempfile.tempdir", "sys.excepthook", "sys.stdout", "sys.stderr", "sys.path", "socket.socket"),
}
ALLOWED = {
    # Told by the entry point `python -m training`.
    ("training/registry/login.py", "os.environ.update"),
    # The body of `python -m serving run`.
    ("serving/replica.py", "basicConfig"),
    ("serving/replica.py", "signal.signal"),
    ("serving/open_connections.py", "setrlimit"),  # told by the worker's process as it begins to serve
    # Torch's own generator, under `fork_rng`: of a training, whose dropout draws from it, and of random weights.
    ("training/loop/worker.py", "manual_seed"),
    ("training/loop/trainer.py", "manual_seed"),
    ("training/base_models.py", "manual_seed"),
    ("training/data/loading.py", "manual_seed"),  # of a generator of its own
}


def test_process_wide_settings_are_set_by_entry_points_only() -> None:
    found = [
        f"{path}:{line} {name}"
        for folder in CODE
        for path, tree in _modules(folder)
        if path != HERE and not _is_entry_point(path, tree)
        for line, name in _process_wide(tree)
        if (path, name) not in ALLOWED
    ]

    assert found == [], "move it to the entry point, or use vitrine.processes.state for the length of a block"


@pytest.mark.parametrize(
    "code",
    [
        "faiss.omp_set_num_threads(1)",
        "torch.set_num_threads(2)",
        "Image.MAX_IMAGE_PIXELS = None",
        "PIL.Image.MAX_IMAGE_PIXELS = 5",
        "os.environ['A'] = 'b'",
        "os.environ.setdefault('A', 'b')",
        "os.environ |= {'A': 'b'}",
        "del os.environ['A']",
        "signal.signal(signal.SIGTERM, handle)",
        "logging.basicConfig()",
        "warnings.simplefilter('ignore')",
        "locale.setlocale(locale.LC_ALL, '')",
        "os.umask(0o77)",
        "multiprocessing.set_start_method('spawn')",
        "mlflow.set_tracking_uri('x')",
        "experiment = mlflow.set_experiment('x')",
        "sys.path[:] = []",
        "np.random.seed(1)",
    ],
)
def test_the_check_finds(code: str) -> None:
    assert list(_process_wide(ast.parse(code)))


@pytest.mark.parametrize("code", ["os.environ.get('A')", "environ['A'] = 'b'", "x.seed(1)", "self.umask(1)"])
def test_the_check_leaves_alone(code: str) -> None:
    assert not list(_process_wide(ast.parse(code)))


def test_what_a_block_sets_it_gives_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import csv
    import gc

    import faiss
    import torch

    monkeypatch.setenv("VITRINE_A_TEST", "before")
    monkeypatch.delenv("VITRINE_ANOTHER", raising=False)

    def state() -> tuple[object, ...]:
        names = ("VITRINE_A_TEST", "VITRINE_ANOTHER")
        threads = (faiss.omp_get_max_threads(), torch.get_num_threads())
        limits = (csv.field_size_limit(), tempfile.gettempdir(), gc.isenabled(), gc.get_freeze_count() > 0)
        return (*threads, *limits, *(os.environ.get(name) for name in names))

    before = state()
    with (
        pytest.raises(KeyError),
        faiss_threads(3),
        torch_threads(5),
        csv_field_limit(77),
        temporary_files_in(tmp_path),
        garbage_kept(),
        present_objects_frozen(),
        environment(VITRINE_A_TEST="within"),
        environment_defaults(VITRINE_A_TEST="no", VITRINE_ANOTHER="yes"),
    ):
        within = state()
        raise KeyError

    assert within == (3, 5, 77, str(tmp_path), False, True, "within", "yes")
    assert state() == before


def test_a_logger_and_those_below_it_are_quiet_for_the_length_of_a_block(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    chatty, other = logging.getLogger("chatty.inner"), logging.getLogger("other")

    with logger_level("chatty", logging.WARNING):
        chatty.info("dropped")
        chatty.warning("a warning")
        other.info("of another")
    chatty.info("after")

    own = {chatty.name, other.name}  # a Spark session of another test may say at any time that it is collected
    said = [record.getMessage() for record in caplog.records if record.name in own]
    assert said == ["a warning", "of another", "after"]


def test_modules_are_left_out_only_within_the_block_and_only_if_nobody_has_them() -> None:
    sys.modules.pop("this", None)

    with pytest.raises(ModuleNotFoundError, match="this"), modules_left_out("this", "json"):
        assert importlib.import_module("json").dumps({}) == "{}"
        importlib.import_module("this")

    assert "this" not in sys.modules
    assert importlib.util.find_spec("this") is not None


def _modules(folder: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def _is_entry_point(path: str, tree: ast.Module) -> bool:
    """A program: `__main__.py`, a script, or a module that runs when it is named."""
    if path.endswith(("/__main__.py", "/submit.py")):
        return True
    return any(isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in tree.body)


def _process_wide(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            for setter in SETTERS:
                if name == setter or name.endswith(f".{setter}"):
                    yield node.lineno, setter
        targets = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.Delete):
            targets = node.targets
        for target in targets:
            name = ast.unparse(target.value if isinstance(target, ast.Subscript) else target)
            if name == "os.environ":
                yield node.lineno, name
            for attribute in ATTRIBUTES:
                if name == attribute or name.endswith(f".{attribute}"):
                    yield node.lineno, attribute
