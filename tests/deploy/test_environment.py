"""uv finds what pip is configured to find, and torch's CPU build where that is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from deploy.local import environment
from deploy.local.layout import ROOT


def torch_version() -> str:
    locked = re.search(r"^torch==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert locked is not None
    return locked.group(1)


def test_it_runs_before_anything_is_installed() -> None:
    code = "import sys, deploy.local.environment; print('site' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, env={}, capture_output=True, text=True, check=True
    )

    assert done.stdout == "False\n"


def test_the_lock_asks_for_the_cpu_build_of_torch() -> None:
    assert torch_version().endswith("+cpu")


def test_every_locked_package_but_torch_is_held_to_its_hashes() -> None:
    lock = (ROOT / "requirements.txt").read_text()

    packages = re.findall(r"(?m)^([a-z0-9._-]+)==\S+( \\\n +--hash=sha256:)?", lock)

    assert [name for name, hashed in packages if not hashed] == ["torch"]


def test_only_the_hashes_of_torch_leave_the_lock() -> None:
    one, two = ("    --hash=sha256:" + letter * 64 for letter in "ab")
    lock = f"tqdm==4 \\\n{one}\ntorch==2+cpu \\\n{one} \\\n{two}\n    # via x\ntorchmetrics==1 \\\n{two}\n"

    left = environment.without_hashes_of_torch(lock)

    assert left == f"tqdm==4 \\\n{one}\ntorch==2+cpu\n    # via x\ntorchmetrics==1 \\\n{two}\n"


def test_without_a_folder_of_wheels_torch_comes_from_the_public_cpu_index() -> None:
    settings = environment.uv_settings({}, {})

    assert settings == {"UV_TORCH_BACKEND": "cpu"}


def test_a_folder_that_holds_the_torch_wheel_serves_instead_of_the_public_index(tmp_path: Path) -> None:
    (tmp_path / f"torch-{torch_version()}-cp311-cp311-linux_x86_64.whl").touch()

    settings = environment.uv_settings({"find-links": [str(tmp_path)]}, {})

    assert settings == {"UV_FIND_LINKS": str(tmp_path)}


def test_a_folder_without_torch_is_used_beside_the_public_index(tmp_path: Path) -> None:
    settings = environment.uv_settings({"find-links": [str(tmp_path)]}, {})

    assert settings == {"UV_FIND_LINKS": str(tmp_path), "UV_TORCH_BACKEND": "cpu"}


def test_indexes_of_pip_that_are_there_are_used_and_others_left_out(tmp_path: Path) -> None:
    pip = {
        "index-url": ["https://packages.example/simple"],
        "extra-index-url": [tmp_path.as_uri(), (tmp_path / "gone").as_uri()],
    }

    settings = environment.uv_settings(pip, {})

    assert settings["UV_DEFAULT_INDEX"] == "https://packages.example/simple"
    assert settings["UV_INDEX"] == tmp_path.as_uri()
    assert settings["UV_INDEX_STRATEGY"] == "unsafe-best-match"


def test_what_the_user_tells_uv_is_left_as_it_is() -> None:
    settings = environment.uv_settings({}, {"UV_TORCH_BACKEND": "cu128"})

    assert settings == {}


def test_the_configuration_of_pip_is_read_from_its_environment_variables(tmp_path: Path) -> None:
    own = {"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": str(tmp_path)}

    settings = environment.pip_settings(Path(sys.executable), own)

    assert settings["find-links"] == [str(tmp_path)]


def test_the_lock_is_free_of_paths_and_pins_every_package() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()

    requirements = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert all(re.fullmatch(r"[a-z0-9._-]+(\[[a-z0-9,._-]+\])?==[^\s;]+( ; .+?)?( \\)?", line) for line in requirements)
    assert not [line for line in lines if " /" in line or "://" in line or "--find-links" in line]
    assert lines[1].strip() == "#    make lock"


def test_the_two_distributions_of_pyspark_are_pinned_to_one_version() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()

    versions = [line.partition("==")[2] for line in lines if line.startswith(("pyspark==", "pyspark-client=="))]
    assert len(versions) == 2
    assert len(set(versions)) == 1
