"""What the machine must bring: Python 3.11 and Java 17 or 21. Standard library only, any Python 3.7 or later."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

PYTHON_SENTENCE = (
    "Python 3.11 is needed and {found}; install it (Debian 12: apt-get install python3.11 python3.11-venv; elsewhere: "
    "pyenv install 3.11 or https://www.python.org) and run the command again, with PYTHON=/path/to/python3.11 if it is "
    "not on PATH."
)
JAVA_SENTENCE = (
    "Java 17 or 21 is needed by Spark and {found}; install it (Debian: apt-get install openjdk-17-jre-headless; "
    "elsewhere: https://adoptium.net) and run the command again, with JAVA_HOME set to it if it is not on PATH."
)
JAVA_VERSIONS = (17, 21)
# Where distributions put Java when neither JAVA_HOME nor PATH names it.
JAVA_FOLDERS = "/usr/lib/jvm"


class Java(NamedTuple):
    """One Java installation."""

    home: str
    major: int


def missing(environment: Mapping[str, str], java_folders: str = JAVA_FOLDERS) -> list[str]:
    """Returns one sentence for each prerequisite that is missing; empty when all are there."""
    problems = []
    if sys.version_info[:2] != (3, 11):
        found = "this is Python {}.{}".format(*sys.version_info[:2])
        problems.append(PYTHON_SENTENCE.format(found=found))
    elif not _has_venv():
        problems.append(PYTHON_SENTENCE.format(found="this Python 3.11 has no `venv` with pip"))
    if find_java(environment, java_folders) is None:
        others = ", ".join("Java {} in {}".format(*reversed(java)) for java in candidates(environment, java_folders))
        problems.append(JAVA_SENTENCE.format(found=f"only {others} was found" if others else "none was found"))
    return problems


def find_java(environment: Mapping[str, str], java_folders: str = JAVA_FOLDERS) -> Java | None:
    """Returns the first Java 17 or 21 of JAVA_HOME, PATH and the usual folders, or None."""
    found = candidates(environment, java_folders)
    return next((java for java in found if java.major in JAVA_VERSIONS), None)


def candidates(environment: Mapping[str, str], java_folders: str = JAVA_FOLDERS) -> Iterator[Java]:
    """Yields every Java that is found and runs, in the order in which they would be used."""
    programs = []
    if environment.get("JAVA_HOME"):
        programs.append(Path(environment["JAVA_HOME"], "bin", "java"))
    on_path = shutil.which("java", path=environment.get("PATH", ""))
    if on_path:
        programs.append(Path(on_path))
    programs += sorted(Path(java_folders).glob("*/bin/java"))
    seen = set()
    for program in programs:
        real = os.path.realpath(str(program))
        if real in seen or not os.access(real, os.X_OK):
            continue
        seen.add(real)
        java = _describe(real)
        if java is not None:
            yield java


def _describe(program: str) -> Java | None:
    try:
        answer = subprocess.run(
            [program, "-XshowSettings:properties", "-version"],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    home = re.search(r"java\.home = (.+)", answer)
    version = re.search(r"java\.specification\.version = (?:1\.)?(\d+)", answer)
    return Java(home.group(1).strip(), int(version.group(1))) if home and version else None


def _has_venv() -> bool:
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return False
    return True


def main() -> int:
    """Prints what is missing and returns 1, or returns 0 in silence."""
    problems = missing(os.environ)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
