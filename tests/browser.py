"""A headless Chromium for tests of pages. Where it is missing they are skipped; in CI that is an error."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium that a module's tests share; its event loop is in the way of asyncio's, so it ends with the module."""
    if not Path(CHROMIUM).is_file():
        if os.environ.get("CI") == "true":
            raise RuntimeError("Chromium is missing; install Debian's package chromium")
        pytest.skip("Chromium is missing; install it with `make test-deps`")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()
