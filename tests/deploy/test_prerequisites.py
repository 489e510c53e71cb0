"""Prerequisites are named in one clear sentence each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import prerequisites
from deploy.local.layout import ROOT


def fake_java(folder: Path, *, major: int) -> Path:
    """Writes a program that answers as `java` of that version does; returns its home."""
    home = folder / f"java-{major}"
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    version = f"1.{major}" if major < 9 else str(major)
    program.write_text(
        f"#!/bin/sh\necho '    java.home = {home}' >&2\necho '    java.specification.version = {version}' >&2\n"
    )
    program.chmod(0o755)
    return home


def test_a_machine_without_java_is_told_what_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    problems = prerequisites.missing({"PATH": str(tmp_path)}, java_folders=str(tmp_path))

    assert len(problems) == 1
    assert "Java 17 or 21 is needed by Spark and none was found" in problems[0]
    assert "apt-get install openjdk-17-jre-headless" in problems[0]


@pytest.mark.parametrize("major", [8, 11, 25])
def test_a_java_that_spark_cannot_use_is_named(tmp_path: Path, major: int) -> None:
    home = fake_java(tmp_path, major=major)

    problems = prerequisites.missing({"JAVA_HOME": str(home), "PATH": ""}, java_folders=str(tmp_path / "none"))

    assert f"only Java {major} in {home} was found" in problems[0]


@pytest.mark.parametrize("major", [17, 21])
def test_java_is_found_by_java_home_by_path_and_in_the_usual_folders(tmp_path: Path, major: int) -> None:
    home = fake_java(tmp_path, major=major)
    nowhere = str(tmp_path / "none")

    by_home = prerequisites.find_java({"JAVA_HOME": str(home), "PATH": ""}, nowhere)
    by_path = prerequisites.find_java({"PATH": str(home / "bin")}, nowhere)
    by_folder = prerequisites.find_java({"PATH": ""}, str(tmp_path))

    assert by_home == by_path == by_folder == prerequisites.Java(str(home), major)


def test_a_usable_java_on_path_serves_where_java_home_names_an_unusable_one(tmp_path: Path) -> None:
    unusable, usable = fake_java(tmp_path, major=25), fake_java(tmp_path, major=17)

    found = prerequisites.find_java({"JAVA_HOME": str(unusable), "PATH": str(usable / "bin")}, str(tmp_path / "none"))

    assert found == prerequisites.Java(str(usable), 17)


def test_make_without_python_311_says_so_in_one_sentence(tmp_path: Path) -> None:
    for name in ("python3.11", "python3", "python"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin"}

    done = subprocess.run(["make", "setup"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "Python 3.11 is needed" in done.stderr
    assert "PYTHON=/path/to/python3.11" in done.stderr


def test_the_set_up_imports_nothing_but_the_standard_library() -> None:
    # Without site-packages: what is imported is of Python itself, or stands in the checkout and keeps to the same.
    code = "import deploy.local.environment, sys; names = {name.partition('.')[0] for name in sys.modules}"
    code += "; print(sorted(names - set(sys.stdlib_module_names)))"

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "['__main__', 'deploy', 'vitrine']"


def test_make_alone_lists_every_command_in_one_line() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)

    listed = [line.split()[1] for line in done.stdout.splitlines()]
    assert {"demo", "test", "test-deps", "up", "down", "status", "ingest", "lineage", "check", "lock"} <= set(listed)
    assert len(listed) == len(set(listed))
