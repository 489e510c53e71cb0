"""What a test run started and left is found by its mark, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.leftovers import MARK, marked
from tests.waiting import wait_for


def test_a_process_that_a_run_left_is_found_and_those_of_other_runs_are_not() -> None:
    waits = [sys.executable, "-c", "print(flush=True); input()"]
    both = [
        subprocess.Popen(waits, env={**os.environ, MARK: run}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for run in ("this-run", "another-run")
    ]
    try:
        found = wait_for(lambda: [process.pid for process in marked("this-run")], what="the process of the run")

        assert found == [both[0].pid]
    finally:
        for process in both:
            process.kill()
            process.communicate()
