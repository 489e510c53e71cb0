"""Each command that the pages name is still there, and takes what they pass to it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import deploy.local.__main__
import vitrine.__main__
from vitrine.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
MAKE_PROGRAM = ["make", "--no-print-directory"]  # `make test` runs this: make under make names the folder
PAGES = ("README.md", "CONTRIBUTING.md")
PARSERS = {"deploy.local": deploy.local.__main__.command_parser, "vitrine": vitrine.__main__.command_parser}


def _commands(page: str) -> list[str]:
    """Returns the commands of a page's indented blocks (in a session those after `$ `) and of its inline code."""
    text = (ROOT / page).read_text(encoding="utf-8")
    text = text.partition("<!-- map -->")[0]  # what follows is made of docstrings
    found = re.findall(r"`((?:make|python -m)(?: [^`]*)?)`", text)
    for block in re.findall(r"(?:^ {4}.*\n)+", text, re.MULTILINE):
        lines = [line[4:] for line in block.splitlines()]
        prompted = [line[2:] for line in lines if line.startswith("$ ")]
        found += prompted or lines
    return found


def _programs(page: str) -> list[tuple[dict[str, str], list[str]]]:
    """Returns the settings in front of each command, and its words."""
    programs = []
    for command in _commands(page):
        words = shlex.split(command, comments=True)
        settings = dict(word.split("=", 1) for word in words if re.match(r"^[A-Z_]+=", word))
        rest = [word for word in words if word.split("=", 1)[0] not in settings or "=" not in word]
        programs.append((settings, rest))
    return programs


MAKE = sorted({" ".join(words) for page in PAGES for _, words in _programs(page) if words[0] == "make"})
GIVEN = sorted({name for page in PAGES for given, _ in _programs(page) for name in given})


def test_every_command_of_a_page_is_of_a_kind_that_a_test_runs() -> None:
    kinds = {words[0] for page in PAGES for _, words in _programs(page)}

    # `curl` is run against a search replica in tests/serving/test_readme_queries.py.
    assert kinds <= {"make", "curl"}
    assert {"make demo", "make test", "make ingest", "make up", "make down"} <= set(MAKE)


def _project_commands(steps: str) -> Iterator[tuple[str, list[str]]]:
    """Yields module and words of each program of this project, as the shell passes them when all is GIVEN."""
    given = {f"GIVEN_{name}": f"the {name.lower()}" for name in ("SOURCE", "DT", "CATALOG", "ITEM", "RELEASE")}
    given["GIVEN_REMOVAL"] = "meant"  # the one word that it takes
    in_one_line = steps.replace("\\\n", " ")
    for module, words in re.findall(r"python -m (deploy\.local|vitrine) ([^;|\n]+)", in_one_line):
        shown = subprocess.run(
            ["sh", "-c", f"printf '%s\\n' {words}"], env=given, capture_output=True, text=True, check=True
        )
        yield module, shown.stdout.splitlines()


@pytest.mark.parametrize("command", MAKE)
def test_a_make_command_names_a_target_whose_program_is_there(command: str) -> None:
    steps = subprocess.run(
        [*MAKE_PROGRAM, "--dry-run", *command.split()[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert steps.returncode == 0, steps.stderr
    # Most end in a program of this project: its own parser must take the verb and every option.
    for module, words in _project_commands(steps.stdout):
        assert PARSERS[module]().parse_args(words).command == words[0]


def test_the_options_of_a_target_are_parsed() -> None:
    steps = subprocess.run(
        [*MAKE_PROGRAM, "--dry-run", "ingest", "lineage"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert list(_project_commands(steps.stdout)) == [
        (
            "deploy.local",
            ["ingest", "--source", "the source", "--dt", "the dt", "--catalog", "the catalog", "--removal", "meant"],
        ),
        ("vitrine", ["lineage", "--item=the item", "--catalog=the catalog", "--release=the release"]),
    ]


def test_what_is_passed_to_a_command_is_a_setting_or_stands_in_the_list_of_commands() -> None:
    listed = subprocess.run(MAKE_PROGRAM, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    for name in GIVEN:
        if name.startswith(PREFIX):
            assert name.removeprefix(PREFIX).lower() in Settings.model_fields
        else:
            assert f"{name}=" in listed


def test_make_alone_lists_every_command() -> None:
    listed = subprocess.run(MAKE_PROGRAM, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    targets = re.findall(r"^([a-z0-9-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert [line.split()[1] for line in listed.splitlines()] == targets
    assert {command.split()[1] for command in MAKE if " " in command} <= set(targets)


@pytest.mark.parametrize(
    ("command", "says"), [("status", "nothing was set up here yet"), ("down", "nothing was started here")]
)
def test_a_fresh_checkout_says_that_nothing_runs(command: str, says: str, tmp_path: Path) -> None:
    environment = {**os.environ, "VITRINE_STATE_DIR": str(tmp_path / "state")}

    done = subprocess.run(
        [*MAKE_PROGRAM, command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert says in done.stdout
