"""Scratch folders: gone at the end, and swept after a killed process, but never under one that works."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vitrine.files.scratch import scratch_folder, sweep_scratch
from vitrine.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
_HOLD = """
import sys, time
from vitrine.files.scratch import scratch_folder
from vitrine.settings import Settings
with scratch_folder(Settings.from_environment(), "held") as folder:
    (folder / "data").write_text("in use")
    print("ready", flush=True)
    time.sleep(3600)
"""


def test_a_folder_is_gone_at_the_end_whatever_happened(settings: Settings) -> None:
    try:
        with scratch_folder(settings, "work") as folder:
            (folder / "data").write_text("x")
            raise KeyError("something")
    except KeyError:
        pass

    assert not folder.exists()


def test_nothing_of_the_platform_works_in_the_systems_temporary_folder() -> None:
    folders = ("vitrine", "spark_jobs", "training", "index_builder", "monitoring", "serving", "plugins", "deploy")
    files = {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"\b(tempfile|TemporaryDirectory|gettempdir)\b", path.read_text(encoding="utf-8"))
    }

    assert files == {
        "vitrine/files/scratch.py",
        "vitrine/processes/state.py",  # leads libraries into a scratch folder
        "vitrine/encoder/publishing.py",  # where no state folder is named
        "vitrine/encoder/encoder.py",  # where no cache is named
        "index_builder/recipes/protocol.py",  # inside the folder of the build
        "deploy/local/postgres.py",  # the path of a socket must be short; noted, and used again
        "plugins/vitrine_airflow/documentation.py",  # makes a page of the docs
    }


def test_a_folder_that_was_never_locked_is_swept_too(settings: Settings) -> None:
    with scratch_folder(settings, "first") as folder:
        (folder.parent / "killed-early").mkdir()
        (folder.parent / "a-file").touch()

        sweep_scratch(settings)

        assert sorted(path.name.split("-")[0] for path in folder.parent.iterdir()) == ["a", "first"]


def test_folders_that_are_made_and_swept_at_once_are_never_lost(settings: Settings) -> None:
    def work(number: int) -> bool:
        with scratch_folder(settings, f"work{number}") as folder:
            (folder / "data").write_text("x")
            sweep_scratch(settings)
            return (folder / "data").is_file()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(100)))


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_holds_is_not(settings: Settings) -> None:
    environment = {**os.environ, **settings.to_environment()}
    process = subprocess.Popen([sys.executable, "-c", _HOLD], cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"

    with scratch_folder(settings, "next") as folder:
        while_it_lives = sorted(path.name.split("-")[0] for path in folder.parent.iterdir())
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=300)
    with scratch_folder(settings, "last") as folder:
        after = [path.name.split("-")[0] for path in folder.parent.iterdir()]

    assert while_it_lives == ["held", "next"]
    assert after == ["last"]
