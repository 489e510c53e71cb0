"""Which code runs: the package's version with the commit or the build that it was made of."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from importlib import metadata
from pathlib import Path

from vitrine import __version__

BUILD_FILE = "build_id.txt"  # beside this module, written by whoever packages Vitrine without its repository

_PACKAGE = Path(__file__).resolve().parent
# All that is shipped and loaded, pages and styles too, and Python anywhere. A catalog or a report that lies elsewhere
# in the checkout is no code, nor is a build id.
_CODE = (
    "*.py",
    *("vitrine", "spark_jobs", "training", "index_builder", "monitoring", "serving", "dags", "plugins", "deploy"),
    f":(exclude)vitrine/{BUILD_FILE}",
)
_COMMIT_LENGTH = 12
_GIT_TIMEOUT_S = 30.0


@functools.cache
def code_version() -> str:
    """Returns e.g. `0.1.0+g84c9daf5e1b2`, with `.dirty` where the working tree differs; asked once a process.

    The commit of the checkout that this package lies in comes first, then a build id that was packaged, then the commit
    that pip says it installed. Where none is known it says so: `0.1.0+unknown`.
    """
    return version_of(_PACKAGE)


def version_of(package: Path) -> str:
    """Returns the version of the code whose package `vitrine` is a folder."""
    return f"{__version__}+{_checked_out(package.parent) or _packaged(package) or _installed(package) or 'unknown'}"


def _packaged(package: Path) -> str | None:
    try:
        return "".join((package / BUILD_FILE).read_text(encoding="utf-8").split()) or None
    except (OSError, UnicodeDecodeError):
        return None


def _checked_out(root: Path) -> str | None:
    if not (root / ".git").exists():  # a repository further up is somebody else's
        return None
    try:
        commit = _git(root, "rev-parse", f"--short={_COMMIT_LENGTH}", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
        changed = changed or _git(root, "ls-files", "--others", "--exclude-standard", "--", *_CODE)
    except (OSError, subprocess.SubprocessError):
        return None
    return f"g{commit}{'.dirty' if changed else ''}"


def _installed(package: Path) -> str | None:
    """Returns the commit of `pip install git+https://…`, as pip records it (PEP 610), when that is this package."""
    try:
        found = metadata.distribution("vitrine")
        if Path(str(found.locate_file("vitrine"))).resolve() != package:
            return None
        commit = json.loads(found.read_text("direct_url.json") or "{}")["vcs_info"]["commit_id"]
    except (metadata.PackageNotFoundError, ValueError, KeyError, TypeError, OSError):
        return None
    return f"g{commit[:_COMMIT_LENGTH]}"


def _git(root: Path, *arguments: str) -> str:
    # A hook's GIT_DIR would point elsewhere; a service may run as another user than the checkout's owner.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "--no-optional-locks", "-c", f"safe.directory={root}", *arguments],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=_GIT_TIMEOUT_S,
    )
    return done.stdout.strip()
