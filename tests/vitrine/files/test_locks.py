"""Of those who want a file's lock one has it, or those who share it; a killed process holds none."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vitrine.files.locks import locked, take_lock

ROOT = Path(__file__).resolve().parents[3]
_HOLD = """
import sys, time
from pathlib import Path
from vitrine.files.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(3600)
"""


def test_blocks_of_one_lock_run_one_after_the_other(tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("0")

    def add_one(_: int) -> None:
        with locked(tmp_path / "new" / ".lock"):
            count.write_text(str(int(count.read_text()) + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add_one, range(200)))

    assert count.read_text() == "200"


def test_what_a_process_holds_is_free_once_it_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    process = subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"

    with path.open("rb") as file:
        while_it_lives = take_lock(file, wait=False)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=300)
        after = take_lock(file, wait=False)

    assert (while_it_lives, after) == (False, True)


def test_a_shared_lock_is_shared_and_keeps_out_who_wants_it_alone(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()

    with (tmp_path / "lock").open() as one, (tmp_path / "lock").open() as two, (tmp_path / "lock").open() as three:
        shared = [take_lock(file, shared=True, wait=False) for file in (one, two)]
        alone = take_lock(three, wait=False)

    assert (shared, alone) == ([True, True], False)


def test_a_lock_leaves_what_its_file_holds(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")

    with locked(tmp_path / "file"):
        pass

    assert (tmp_path / "file").read_text() == "content"
