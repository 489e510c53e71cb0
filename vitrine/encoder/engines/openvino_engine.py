"""The OpenVINO engine: the towers on a CPU, without torch or transformers."""

from __future__ import annotations

import queue
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.encoder.engines.engine import EngineName, Precision
from vitrine.errors import EncoderError

IMAGE_FILE = "image.xml"
TEXT_FILE = "text.xml"
CONVERTED_FILES = ("image.xml", "image.bin", "text.xml", "text.bin")

# While OpenVINO reads a model it sets the process's locale to "C" and back: of two that read at once, one takes the
# other's "C" for what it found, and files are opened as ASCII ever after.
_reading = threading.Lock()


class OpenVinoEngine:
    """Runs converted towers.

    Args:
        folder: a folder with `image.xml`, `image.bin`, `text.xml`, `text.bin`.
        precision: pinned, never left to what the plugin prefers on this CPU. `bf16` needs a CPU that has it.
        threads: of the process for one tower; one is best where several workers share a machine.
        cache_dir: where compiled towers are kept, so that the next start takes less time.

    Raises:
        EncoderError: the files are missing or broken, or the CPU lacks the precision.
    """

    name: EngineName = "openvino"

    def __init__(
        self, folder: Path, *, precision: Precision = "fp32", threads: int = 1, cache_dir: Path | None = None
    ) -> None:
        openvino = import_openvino()
        core = openvino.Core()
        if precision == "bf16" and not supports_bf16(core):
            raise EncoderError(
                "precision 'bf16' was asked for, and this CPU does not have it (OpenVINO would silently use fp32); "
                "set the inference precision to 'fp32'"
            )
        properties: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": "1",
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # pinned workers of several processes would meet on one core
        }
        if cache_dir is not None:
            cache_dir.mkdir(parents=True, exist_ok=True)
            properties["CACHE_DIR"] = str(cache_dir)
        self.precision: Precision = precision
        try:
            with _reading:
                self._image = _Tower(core.compile_model(str(folder / IMAGE_FILE), "CPU", properties))
                self._text = _Tower(core.compile_model(str(folder / TEXT_FILE), "CPU", properties))
        except RuntimeError as error:
            raise EncoderError(f"{folder}: OpenVINO cannot load the converted towers: {error}") from error

    def project_images(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps (n, 3, size, size) prepared pixels to (n, dimension)."""
        return self._image.run(pixels)

    def project_texts(self, token_ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Maps (n, length) token ids to (n, dimension)."""
        return self._text.run(token_ids)


def import_openvino() -> Any:
    """Returns the module `openvino`, which reports each import to its makers unless its telemetry is kept out."""
    if "openvino" not in sys.modules:
        # It then falls back to a stub of its own; the documented switch writes to the user's home instead.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def supports_bf16(core: Any | None = None) -> bool:
    """Says whether this CPU computes in bfloat16."""
    core = core or import_openvino().Core()
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class _Tower:
    """One compiled tower with as many infer requests as callers that were ever inside at once."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._idle: queue.LifoQueue[Any] = queue.LifoQueue()

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()
        try:
            outputs = request.infer([np.ascontiguousarray(batch)], share_inputs=True)
            return np.array(outputs[0], dtype=np.float32)  # a copy: the request's own buffer is used again
        finally:
            self._idle.put(request)
