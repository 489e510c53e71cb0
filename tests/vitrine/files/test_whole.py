"""Files and folders are there whole or not at all, and what is unfinished leaves nothing behind."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vitrine.files.whole import beside, replace_file, replace_folder, whole_file, whole_folder

ROOT = Path(__file__).resolve().parents[3]
_HALF_A_FOLDER = """
import sys, time
from pathlib import Path
from vitrine.files.whole import whole_folder
with whole_folder(Path(sys.argv[1])) as partial:
    partial.mkdir()
    (partial / "half").touch()
    print("begun", flush=True)
    time.sleep(3600)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("durably", [True, False])
def test_a_file_is_replaced(durably: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old and longer")

    replace_file(tmp_path / "file", b"new", durably=durably)

    assert (tmp_path / "file").read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_a_private_file_is_its_owners_alone_also_where_another_stood(tmp_path: Path) -> None:
    (tmp_path / "file").touch(0o644)

    replace_file(tmp_path / "file", b"secret", private=True)

    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_a_file_that_cannot_be_put_in_its_place_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path / "folder", b"no file can be here")

    assert names(tmp_path) == ["folder"]


def test_of_threads_that_replace_one_file_at_once_each_reader_sees_one_whole(tmp_path: Path) -> None:
    contents = [bytes([letter]) * 100_000 for letter in b"abcdefgh"]
    start = threading.Barrier(len(contents))

    def write(content: bytes) -> bytes:
        start.wait()
        replace_file(tmp_path / "file", content, durably=False)
        return (tmp_path / "file").read_bytes()

    with ThreadPoolExecutor(len(contents)) as pool:
        seen = list(pool.map(write, contents))

    assert set(seen) <= set(contents)
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("durably", [True, False])
def test_a_file_comes_to_its_place_when_the_block_ends(durably: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")

    with whole_file(tmp_path / "file", durably=durably) as partial:
        partial.write_text("new")
        within = (tmp_path / "file").read_text()

    assert (within, (tmp_path / "file").read_text()) == ("old", "new")
    assert names(tmp_path) == ["file"]


def test_a_file_whose_block_fails_stays_what_it_was(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")

    with pytest.raises(KeyError), whole_file(tmp_path / "file") as partial:
        partial.write_text("half")
        raise KeyError

    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_folder_comes_to_its_place_when_the_block_ends(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "folder") as partial:
        partial.mkdir()
        (partial / "a").touch()
        within = (tmp_path / "folder").exists()

    assert not within
    assert names(tmp_path) == ["folder"]
    assert names(tmp_path / "folder") == ["a"]


def test_a_folder_whose_block_fails_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyError), whole_folder(tmp_path / "folder") as partial:
        partial.mkdir()
        (partial / "a").touch()
        raise KeyError

    assert names(tmp_path) == []


def test_a_folder_that_is_there_stays_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").touch()

    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "folder") as partial:
        partial.mkdir()
    kept = names(tmp_path / "folder")
    with whole_folder(tmp_path / "folder", replace=True) as partial:
        partial.mkdir()
        (partial / "new").touch()

    assert kept == ["old"]
    assert names(tmp_path / "folder") == ["new"]
    assert names(tmp_path) == ["folder"]


def test_a_folder_made_elsewhere_is_moved_to_its_place(tmp_path: Path) -> None:
    for name in ("made", "folder", ".folder.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()

    replace_folder(tmp_path / "made", tmp_path / "folder")

    assert names(tmp_path / "folder") == ["made"]
    assert names(tmp_path) == ["folder"]


def test_what_a_killed_process_began_is_made_again_from_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HALF_A_FOLDER, str(tmp_path / "folder")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"

    process.send_signal(signal.SIGKILL)
    process.wait(timeout=300)
    left = names(tmp_path)
    with whole_folder(tmp_path / "folder") as partial:
        partial.mkdir()

    assert left == [".folder.partial"]
    assert names(tmp_path) == ["folder"]
    assert names(tmp_path / "folder") == []


def test_what_lies_beside_a_path_is_gone_at_the_end(tmp_path: Path) -> None:
    with beside(tmp_path / "folder") as path:
        path.mkdir()
        (path / "a").touch()

    assert names(tmp_path) == []


def test_it_needs_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import vitrine.files.whole;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["vitrine"]
