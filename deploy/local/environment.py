"""Makes `.venv`: the locked dependencies and this project. Standard library only; what is current is left alone."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from deploy.local import prerequisites
from vitrine.files.locks import locked

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
UV = "uv==0.13.8"
STAMP = "vitrine-environment"


def set_up(environment: Mapping[str, str]) -> None:
    """Brings `.venv` to what `requirements.txt` and `pyproject.toml` say.

    Raises:
        SystemExit: a prerequisite is missing or a step failed; the message says which.
    """
    problems = prerequisites.missing(environment)
    if problems:
        raise SystemExit("\n".join(problems))
    stamp = VENV / STAMP
    wanted = fingerprint()
    if _is_current(stamp, wanted):
        return
    # Two commands at once: the second waits and finds all done. Not `.lock`, which is uv's own.
    with locked(VENV / "vitrine-setup.lock"):
        if _is_current(stamp, wanted):
            return
        stamp.unlink(missing_ok=True)
        python = VENV / "bin" / "python"
        if not (VENV / "bin" / "uv").exists():
            _step("making .venv", [sys.executable, "-m", "venv", str(VENV)], environment)
            _step("installing uv", [str(python), "-m", "pip", "install", "--quiet", UV], environment)
        uv = str(VENV / "bin" / "uv")
        uv_environment = {**environment, **uv_settings(pip_settings(python, environment), environment)}
        dependencies = [uv, "pip", "sync", "--quiet", "--python", str(python), str(ROOT / "requirements.txt")]
        _step("installing the locked dependencies (about 2.8 GB)", dependencies, uv_environment)
        project = [uv, "pip", "install", "--quiet", "--python", str(python), "--no-deps", "--no-build-isolation"]
        _step("installing this project", [*project, "--editable", str(ROOT)], uv_environment)
        stamp.write_text(wanted)


def lock(environment: Mapping[str, str]) -> None:
    """Compiles `requirements.in` to `requirements.txt`, with hashes; versions that still fit stay as they are."""
    python = VENV / "bin" / "python"
    found = uv_settings(pip_settings(python, environment), environment)
    # An index of a few files beside the public one would hide the hashes of all other machines' files.
    public = {name: value for name, value in found.items() if name not in ("UV_INDEX", "UV_INDEX_STRATEGY")}
    uv_environment = {**environment, **public}
    command = [str(VENV / "bin" / "uv"), "pip", "compile", "--quiet", "--generate-hashes"]
    command += ["--custom-compile-command", "make lock"]
    command += ["--python", str(python), "requirements.in", "--output-file", "requirements.txt"]
    _step("compiling requirements.in", command, uv_environment)
    locked = ROOT / "requirements.txt"
    locked.write_text(without_hashes_of_torch(locked.read_text()))


def without_hashes_of_torch(lock: str) -> str:
    """Leaves the hashes of torch out: its CPU build comes from a folder here and from PyTorch's index elsewhere.

    uv checks the hashes that are there and installs what has none.
    """
    return re.sub(r"(?m)^(torch==\S+) \\\n(?: +--hash=\S+(?: \\)?\n)+", r"\1\n", lock)


def fingerprint() -> str:
    """Returns a hash of everything that decides what is in `.venv`."""
    digest = hashlib.sha256(UV.encode() + sys.version.encode() + str(ROOT).encode())
    for name in ("requirements.txt", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def pip_settings(python: Path, environment: Mapping[str, str]) -> dict[str, list[str]]:
    """Returns pip's configured `find-links`, `index-url` and `extra-index-url`; uv does not read them itself."""
    answer = subprocess.run(
        [str(python), "-m", "pip", "config", "list"],
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    ).stdout
    settings: dict[str, list[str]] = {}
    for line in answer.splitlines():
        match = re.fullmatch(r"(?::env:|global|install)\.(find-links|index-url|extra-index-url)=('.*'|\".*\")", line)
        if match:
            known = settings.setdefault(match.group(1), [])
            known += [value for value in ast.literal_eval(match.group(2)).split() if value not in known]
    return settings


def uv_settings(pip: Mapping[str, list[str]], environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the UV_* variables that make uv look where pip looks, and for torch's CPU build where that is.

    PyTorch publishes the CPU build on an index of its own. Where pip is configured with a folder that holds the wheel,
    that folder serves; elsewhere uv takes torch, and torch only, from PyTorch's CPU index (`UV_TORCH_BACKEND=cpu`).
    What the environment says already is left as it is.
    """
    found: dict[str, str] = {}
    links = [link for link in pip.get("find-links", []) if _usable(link)]
    if links:
        found["UV_FIND_LINKS"] = ",".join(links)
    if not any(_holds_torch(link) for link in links):
        found["UV_TORCH_BACKEND"] = "cpu"
    indexes = [url for url in pip.get("index-url", []) if _usable(url)]
    if indexes:
        found["UV_DEFAULT_INDEX"] = indexes[0]
    extra = [url for url in pip.get("extra-index-url", []) if _usable(url)]
    if extra:
        found["UV_INDEX"] = " ".join(extra)
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # pip's own rule: the best version of any index
    return {name: value for name, value in found.items() if name not in environment}


def _usable(place: str) -> bool:
    path = _local_path(place)
    return path is None or path.is_dir()


def _holds_torch(link: str) -> bool:
    path = _local_path(link)
    version = re.search(r"^torch==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    return path is not None and version is not None and any(path.glob(f"torch-{version.group(1)}-*.whl"))


def _local_path(place: str) -> Path | None:
    parts = urlsplit(place)
    if parts.scheme in ("", "file"):
        return Path(unquote(parts.path))
    return None


def _is_current(stamp: Path, wanted: str) -> bool:
    return stamp.is_file() and stamp.read_text() == wanted


def _step(what: str, command: list[str], environment: Mapping[str, str]) -> None:
    print(f"set-up: {what}", flush=True)
    started = time.monotonic()
    done = subprocess.run(command, env=dict(environment), cwd=ROOT, check=False)
    if done.returncode != 0:
        raise SystemExit(f"set-up: {what} failed (exit {done.returncode}): {' '.join(command)}")
    print(f"set-up: {what} took {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    (lock if sys.argv[1:] == ["lock"] else set_up)(os.environ)
