"""An encoder for the library's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_clip import write_tiny_clip


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder folder: pictures of 64 pixels, texts of 24 tokens, 48 dimensions."""
    folder = tmp_path_factory.mktemp("checkpoint")
    return write_tiny_clip(
        folder, vocabulary_size=700, context_length=24, image_size=64, width=64, layers=2, dimension=48
    )
