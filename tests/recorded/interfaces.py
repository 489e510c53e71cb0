"""What other people's scripts, stores and dashboards hold on to, as documents: names that stay however the code moves.

`python -m tests.recorded.interfaces` writes them anew. A change of one of these files is a change for users.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
STAGES = ("spark_jobs", "training", "index_builder", "monitoring", "serving", "vitrine")
PROGRAMS = (*STAGES, "deploy.local")


def dags() -> Any:
    """Each DAG of a catalog: its parameters with their defaults, and its tasks with their upstream tasks and pool."""
    from vitrine_airflow.documentation import documented_dags

    return {
        dag.dag_id: {
            "params": {name: dag.params[name] for name in sorted(dag.params)},
            "tasks": {
                task.task_id: {"upstream": sorted(task.upstream_task_ids), "pool": task.pool} for task in dag.tasks
            },
        }
        for _, dag in documented_dags()
    }


def commands() -> Any:
    """`python -m <stage> <verb>` with its options: whether it must be given, its choices and its default."""
    return {
        f"{program} {verb}": {
            " ".join(action.option_strings) or action.dest: _option(action)
            for action in parser._actions
            if action.dest != "help"
        }
        for program in PROGRAMS
        for verb, parser in parsers(program).items()
    }


def parsers(program: str) -> dict[str, argparse.ArgumentParser]:
    """Returns the parser of each verb of a program, as its `main` makes them; nothing is run."""
    made: list[argparse.ArgumentParser] = []

    def stop(parser: argparse.ArgumentParser, *_: object) -> None:
        made.append(parser)
        raise _Stopped

    with mock.patch.object(argparse.ArgumentParser, "parse_args", stop), suppress(_Stopped):
        importlib.import_module(f"{program}.__main__").main([])
    subparsers = next(action for action in made[0]._actions if isinstance(action, argparse._SubParsersAction))
    return dict(subparsers.choices)


class _Stopped(Exception):
    """Ends a command once it has its options."""


def _option(action: argparse.Action) -> dict[str, Any]:
    choices = None if action.choices is None else [str(choice) for choice in action.choices]
    said = {"required": action.required, "choices": choices, "default": action.default, "nargs": action.nargs}
    return {name: str(value) if isinstance(value, Path) else value for name, value in said.items() if value}


def settings() -> Any:
    """Every setting by its environment variable, with its type and its default."""
    from vitrine.settings import PREFIX, Settings

    return {
        f"{PREFIX}{name.upper()}": {"type": str(field.annotation), "default": str(field.get_default())}
        for name, field in sorted(Settings.model_fields.items())
    }


def ledger() -> Any:
    """The statements that make the ledger's tables and indexes."""
    from sqlalchemy.dialects import postgresql
    from sqlalchemy.schema import CreateIndex, CreateTable

    from vitrine.ledger.tables import metadata

    made: list[str] = []
    for table in metadata.sorted_tables:
        statements = [CreateTable(table), *(CreateIndex(index) for index in sorted(table.indexes, key=_name))]
        made += [" ".join(str(each.compile(dialect=postgresql.dialect())).split()) for each in statements]
    return made


def _name(index: Any) -> str:
    return str(index.name)


def contracts() -> Any:
    """The JSON schema of each immutable document that is written to the object store."""
    from vitrine.contracts.document import Document

    for stage in STAGES:
        for path in sorted((ROOT / stage).rglob("*.py")):
            if "(Document)" in path.read_text(encoding="utf-8"):
                importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    models = sorted(_heirs(Document), key=lambda model: model.__name__)
    return {model.__name__: _without_words(model.model_json_schema()) for model in models}


def _without_words(schema: Any) -> Any:
    """Returns a JSON schema without titles and descriptions, which may be said better at any time."""
    if isinstance(schema, list):
        return [_without_words(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    words = {name for name in ("title", "description") if isinstance(schema.get(name), str)}
    return {name: _without_words(value) for name, value in schema.items() if name not in words}


def _heirs(model: type[Any]) -> Iterator[type[Any]]:
    for heir in model.__subclasses__():
        if heir.__module__.split(".")[0] in STAGES:  # a test may have made one of its own
            yield heir
        yield from _heirs(heir)


def tables() -> Any:
    """The columns of each Parquet file that another stage or another program reads."""
    found = {}
    for path in sorted((ROOT / "vitrine" / "contracts").glob("[a-z]*.py")):
        module = importlib.import_module(f"vitrine.contracts.{path.stem}")
        for name, make in inspect.getmembers(module, inspect.isfunction):
            if name.endswith("_schema"):
                found[name] = {
                    field.name: f"{field.type}{'' if field.nullable else ', never null'}" for field in make()
                }
    return found


def keys() -> Any:
    """Every key in the object store, made for arguments that are their own names."""
    from vitrine.storage import keys as made

    functions = {name: value for name, value in inspect.getmembers(made, inspect.isfunction)}
    return {name: _call(function) for name, function in sorted(functions.items())}


def _call(function: Callable[..., str]) -> str:
    given = {name: 7 if name == "sequence" else f"<{name}>" for name in inspect.signature(function).parameters}
    return function(**given)


def openapi() -> Any:
    """What the search tier says of its HTTP API."""
    from serving.openapi import openapi_document
    from vitrine.settings import Settings

    return openapi_document(Settings())


INTERFACES: tuple[Callable[[], Any], ...] = (dags, commands, settings, ledger, contracts, tables, keys, openapi)


def written(document: Any) -> str:
    """Returns a document as its file holds it."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for interface in INTERFACES:
        (FOLDER / f"{interface.__name__}.json").write_text(written(interface()), encoding="utf-8")
