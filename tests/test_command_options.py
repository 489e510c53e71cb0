"""No option of a command, no field of a form and no option of a training is accepted and then ignored."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from training.options import TrainingOptions
from vitrine.contracts.training_sets import MiningParameters
from vitrine.errors import VitrineError
from vitrine.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
_CODE = (
    "vitrine",
    "spark_jobs",
    "training",
    "index_builder",
    "monitoring",
    "serving",
    "deploy",
    "benchmarks",
    "examples",
)
_STAGES = ("spark_jobs", "training", "index_builder", "monitoring", "serving", "vitrine")
_NOT_RUN = {
    *(("serving", "run"), ("training", "register-bootstrap"), ("training", "champion")),  # have no options
    ("training", "evaluate"),  # needs an encoder before it looks at what it measures
}


class _Read(argparse.Namespace):
    """Options that remember which of them were read."""

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and "_names" in (values := object.__getattribute__(self, "__dict__")):
            values["_names"].add(name)
        return object.__getattribute__(self, name)


def _commands() -> Iterator[tuple[str, str]]:
    for stage in _STAGES:
        for verb in _parsers(stage):
            if (stage, verb) not in _NOT_RUN:
                yield stage, verb


def _parsers(stage: str) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a stage's verbs, as its `main` makes them."""
    made: list[argparse.ArgumentParser] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", lambda self, *_: made.append(self) or _stop())
        with pytest.raises(_Stop):
            importlib.import_module(f"{stage}.__main__").main([])
    subparsers = next(action for action in made[0]._actions if isinstance(action, argparse._SubParsersAction))
    return dict(subparsers.choices)


class _Stop(Exception):
    """Ends a command once it has its options."""


def _stop() -> Any:
    raise _Stop


@pytest.mark.parametrize(("stage", "verb"), list(_commands()))
def test_every_option_that_is_given_is_read(
    stage: str,
    verb: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VITRINE_MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("VITRINE_STAGE_TIMEOUT_S", "0.1")
    parser = _parsers(stage)[verb]
    parse = argparse.ArgumentParser.parse_args

    for chosen in _alternatives(parser, _LEFT_OUT.get((stage, verb), [set()])):
        read = _Read()

        def parse_and_watch(self: Any, args: Any = None, *_: Any, read: _Read = read) -> argparse.Namespace:
            parse(self, args, read)
            read._names = set()
            return read

        with monkeypatch.context() as patch:
            patch.setattr(argparse.ArgumentParser, "parse_args", parse_and_watch)
            main = importlib.import_module(f"{stage}.__main__").main
            _end(main, [verb, *(word for action in chosen for word in _words(action, tmp_path))])

        idle = {action.dest for action in chosen} - read._names - _READ_WITH_THE_RESULT
        assert idle == set(), f"{stage} {verb}: accepted and ignored"


def _alternatives(parser: argparse.ArgumentParser, left_out: list[set[str]]) -> Iterator[list[argparse.Action]]:
    """All options at once, less those that the command would refuse beside them."""
    given = [action for action in parser._actions if action.option_strings and action.dest != "help"]
    for names in left_out:
        yield [action for action in given if action.dest not in names]


def _words(action: argparse.Action, folder: Path) -> list[str]:
    if action.nargs == 0 or isinstance(action, argparse.BooleanOptionalAction):
        return [action.option_strings[0]]
    if action.choices:
        return [action.option_strings[0], str(next(iter(action.choices)))]
    values: dict[Any, str] = {int: "24", float: "0.5", Path: str(folder / action.dest)}
    return [action.option_strings[0], _VALUES.get(action.dest, values.get(action.type, "12"))]


_OF_MINING = {*MiningParameters.model_fields, "embedding_set", "as_of", "events_from", "events_until", "grades"}
_OF_MINING |= {"plan_only"}
_LEFT_OUT = {
    ("spark_jobs", "embed"): [{"dt", "manifest_id"}, {"head"}],
    ("spark_jobs", "mine"): [{"training_set_id", "plan_only"}, _OF_MINING],
    ("training", "train"): [{*TrainingOptions.model_fields, "training_set", "catalog_id"}],
}
_READ_WITH_THE_RESULT = {"json"}  # which there is none of here; the next test finds where it is read
_ENCODER = "0123456789abcdef0123"  # a fingerprint, so that nobody looks for a model hub
_VALUES = {
    "dt": "2026-11-01",
    "options": "{}",
    "base": _ENCODER,
    "encoder": _ENCODER,
    "against": _ENCODER,
    "temperature": "0.5",
    "warmup_share": "0.1",
    "base_share": "0.1",
}


@pytest.mark.parametrize(
    ("module", "words", "named"),
    [
        ("spark_jobs.__main__", "mine --catalog c --neighbour-negatives 4", "neighbour_negatives"),
        ("spark_jobs.__main__", "mine --catalog c --neighbour-max-anchors 9 --plan-only", "neighbour_max_anchors"),
        ("spark_jobs.__main__", "mine --catalog c --neighbour-max-candidates 9", "neighbour_max_candidates"),
        (
            "spark_jobs.__main__",
            "mine --catalog c --embedding-set e --neighbour-negatives 0 --neighbour-max-anchors 9",
            "neighbour_max_anchors",
        ),
        ("spark_jobs.__main__", "mine --catalog c --validation-days 0 --test-days 0 --gap-days 2", "gap_days"),
        ("training.__main__", "train --catalog c --into i --objective infonce --margin 0.3", "margin"),
        ("training.__main__", "train --catalog c --into i --objective triplet --temperature 0.5", "temperature"),
        ("training.__main__", "train --catalog c --into i --self-supervised-temperature 0.5", "self_supervised_temp"),
        (
            "training.__main__",
            'plan-training --catalog c --training-set t --options {"freeze_text":true,"text_learning_rate":0.1}',
            "text_learning_rate",
        ),
        ("benchmarks.attacks.pictures", "--only 1 --count 10", "--count"),
        ("benchmarks.attacks.pictures", "--only 1 --first 10", "--first"),
        ("benchmarks.attacks.pictures", "--only 1 --processes 1", "--processes"),
        ("benchmarks.promotion_drill.__main__", "--state {kept} --items 9", "--items"),
    ],
)
def test_an_option_that_the_others_leave_nothing_to_do_is_refused(
    module: str,
    words: str,
    named: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "delivered").mkdir()

    try:
        status = importlib.import_module(module).main(words.replace("{kept}", str(tmp_path)).split())
    except SystemExit as end:
        status = end.code

    said = capsys.readouterr().err
    assert status in (1, 2)
    assert named in said and "would change nothing" in said


def test_mining_parameters_that_are_given_as_they_are_anyway_are_no_choice(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    defaults = MiningParameters().model_dump().items()
    words = [word for name, value in defaults for word in (f"--{name.replace('_', '-')}", str(value))]

    importlib.import_module("spark_jobs.__main__").main(["mine", "--catalog", "none", *words])

    assert "would change nothing" not in capsys.readouterr().err  # there is no catalog, which is another matter


def _end(main: Callable[[list[str]], int], words: list[str]) -> None:
    with suppress(VitrineError):  # without a catalog or a training a stage refuses, once it has its options
        main(words)


@pytest.mark.parametrize("folder", _CODE)
def test_every_declared_option_is_named_where_options_are_read(folder: str) -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / folder).rglob("*.py"))}
    read = {
        name
        for text in texts.values()
        for found in re.findall(r"(?:options|arguments)\.(\w+)|getattr\(\w+, \"(\w+)\"\)|\"(\w+)\"", text)
        for name in found
        if name
    }

    declared = {
        f"{path.relative_to(ROOT)}: --{name}"
        for path, text in texts.items()
        for name in re.findall(r"add_argument\(\s*f?\"--([a-z0-9-]+)\"", text)
        if name.replace("-", "_") not in read
    }

    assert declared == set()


def test_every_field_of_a_form_is_read_by_its_dag() -> None:
    forms = ast.parse((ROOT / "plugins/vitrine_airflow/forms.py").read_text(encoding="utf-8"))
    fields = {
        key.value
        for node in ast.walk(forms)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and not (isinstance(value, ast.Constant))
    }
    files = [*(ROOT / "dags").glob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files if path.name != "forms.py")

    unread = {name for name in fields if not re.search(rf"(parameter\(|form\[|\()\"{name}\"|\"{name}\"[,)]", text)}

    assert unread == set()


def test_every_option_of_a_training_is_read() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "training").rglob("*.py"))

    unread = [name for name in TrainingOptions.model_fields if not re.search(rf"(options|self)\.{name}\b", text)]

    assert unread == []
