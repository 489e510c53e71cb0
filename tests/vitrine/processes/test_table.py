"""The process table tells of a process what the system counts of it."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from vitrine.processes.table import cpu_s_in, stat_fields


def test_the_cpu_seconds_of_a_process_are_those_that_it_used() -> None:
    before = cpu_s_in(stat_fields(Path("/proc/self/stat")))
    began = time.process_time()

    while time.process_time() < began + 0.3:
        pass

    assert cpu_s_in(stat_fields(Path("/proc/self/stat"))) - before == pytest.approx(0.3, abs=0.15)


def test_the_cpu_seconds_are_those_of_user_and_system_without_children() -> None:
    times = psutil.Process().cpu_times()

    counted = cpu_s_in(stat_fields(Path("/proc/self/stat")))

    assert counted == pytest.approx(times.user + times.system, abs=0.1)
