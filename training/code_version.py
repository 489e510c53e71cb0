"""Which code is running: the commit of the checkout, where there is one."""

from __future__ import annotations

import subprocess
from pathlib import Path

from vitrine import __version__


def code_version() -> str:
    """Returns `<version>+<commit>`, with `.changed` where files differ; without a checkout the version alone."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return __version__
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = ".changed" if _git(root, "status", "--porcelain", "--untracked-files=no") else ""
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__}+{commit}{changed}"


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()
