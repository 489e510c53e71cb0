"""The encoder: pictures and texts to embeddings of one shared space."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.encoder.architecture import Architecture
from vitrine.encoder.engines.engine import Engine, EngineName, Precision
from vitrine.encoder.engines.openvino_engine import CONVERTED_FILES, OpenVinoEngine
from vitrine.encoder.manifest import MANIFEST_FILE, EncoderManifest
from vitrine.encoder.tokenizer import TextTokenizer
from vitrine.errors import EncoderError
from vitrine.images.preprocessing import Preprocessing


@dataclass(frozen=True)
class EncodedBatch:
    """Embeddings of one batch.

    Attributes:
        embeddings: (n, dimension), float32, unit L2 norm.
        norms: (n,), float32, the L2 norms before normalisation; monitoring watches them drift.
    """

    embeddings: NDArray[np.float32]
    norms: NDArray[np.float32]


class Encoder:
    """One dual tower with its preprocessing and its tokenizer; thread-safe. `load_encoder` makes one.

    Attributes:
        fingerprint: names the embedding space.
        dimension: of the embeddings.
        preprocessing: how a picture becomes pixels.
        engine, precision: what computes them.
    """

    def __init__(
        self,
        *,
        fingerprint: str,
        dimension: int,
        preprocessing: Preprocessing,
        tokenizer: TextTokenizer,
        engine: Engine,
        batch_size: int = 32,
    ) -> None:
        self.fingerprint = fingerprint
        self.dimension = dimension
        self.preprocessing = preprocessing
        self.tokenizer = tokenizer
        self.engine: EngineName = engine.name
        self.precision: Precision = engine.precision
        self._engine = engine
        self._batch_size = batch_size

    def encode_images(self, images: Sequence[Image.Image | bytes]) -> EncodedBatch:
        """Encodes pictures, given decoded or as the bytes of image files.

        Raises:
            ImageError: bytes that cannot be decoded.
        """
        batches = [
            self._engine.project_images(self.preprocessing.pixels(images[start : start + self._batch_size]))
            for start in range(0, len(images), self._batch_size)
        ]
        return self._normalised(batches)

    def encode_pixels(self, pixels: NDArray[np.float32]) -> EncodedBatch:
        """Encodes what `preprocessing.pixels` made: (n, 3, image_size, image_size), float32.

        Raises:
            EncoderError: the array has another shape.
        """
        side = self.preprocessing.image_size
        if pixels.ndim != 4 or pixels.shape[1:] != (3, side, side):
            raise EncoderError(f"expected prepared pixels (n, 3, {side}, {side}), found {pixels.shape}")
        starts = range(0, len(pixels), self._batch_size)
        return self._normalised([self._engine.project_images(pixels[row : row + self._batch_size]) for row in starts])

    def encode_texts(self, texts: Sequence[str]) -> EncodedBatch:
        """Encodes texts; what is longer than the tower's context is cut.

        Raises:
            ContractError: a text is empty.
        """
        batches = [
            self._engine.project_texts(self.tokenizer.token_ids(texts[start : start + self._batch_size]))
            for start in range(0, len(texts), self._batch_size)
        ]
        return self._normalised(batches)

    def _normalised(self, batches: list[NDArray[np.float32]]) -> EncodedBatch:
        projections = np.concatenate(batches) if batches else np.empty((0, self.dimension), dtype=np.float32)
        norms = np.linalg.norm(projections, axis=1).astype(np.float32)
        broken = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
        if len(broken):
            raise EncoderError(
                f"encoder {self.fingerprint} ({self.engine}, {self.precision}): {len(broken)} of {len(norms)} "
                f"embeddings are zero or not finite, first at row {broken[0]}; try precision 'fp32'"
            )
        return EncodedBatch(embeddings=(projections / norms[:, None]).astype(np.float32), norms=norms)


def load_encoder(
    folder: str | Path,
    *,
    engine: EngineName = "openvino",
    device: str = "cpu",
    precision: Precision = "fp32",
    cache_dir: Path | None = None,
    threads: int = 1,
    batch_size: int = 32,
) -> Encoder:
    """Loads an encoder folder: one that `fetch_encoder` brought, or a plain checkpoint.

    A fetched folder holds converted towers, so that OpenVINO needs neither torch nor transformers; a plain checkpoint
    is converted first (seconds), and into `cache_dir` when there is one.

    Args:
        engine: `openvino` on a CPU, `torch` on a GPU or a CPU.
        device: of the torch engine.
        precision: pinned; the same for a catalog and its queries.
        cache_dir: keeps conversions and compiled towers for the next start.
        threads: that one encoder may use on a CPU.
        batch_size: the most pictures or texts that go through a tower at once.

    Raises:
        EncoderError: the folder is no encoder, or the engine does not agree with torch on this machine.
    """
    folder = Path(folder)
    architecture, preprocessing = Architecture.from_folder(folder), Preprocessing.from_folder(folder)
    fingerprint = _fingerprint(folder)
    return Encoder(
        fingerprint=fingerprint,
        dimension=architecture.dimension,
        preprocessing=preprocessing,
        tokenizer=TextTokenizer(folder, context_length=architecture.context_length),
        engine=_open_engine(
            folder,
            fingerprint=fingerprint,
            engine=engine,
            device=device,
            precision=precision,
            cache_dir=cache_dir,
            threads=threads,
        ),
        batch_size=batch_size,
    )


def _fingerprint(folder: Path) -> str:
    if (folder / MANIFEST_FILE).is_file():
        return EncoderManifest.from_folder(folder).fingerprint
    from vitrine.encoder.fingerprint import encoder_fingerprint

    return encoder_fingerprint(folder)


def _open_engine(
    folder: Path,
    *,
    fingerprint: str,
    engine: EngineName,
    device: str,
    precision: Precision,
    cache_dir: Path | None,
    threads: int,
) -> Engine:
    opened: Engine
    if engine == "torch":
        from vitrine.encoder.engines.torch_engine import TorchEngine

        return TorchEngine(folder, device=device, precision=precision, threads=threads)
    if device != "cpu":
        raise EncoderError(f"the openvino engine runs on the CPU, found device {device!r}; set the engine to 'torch'")
    compiled_dir = None if cache_dir is None else cache_dir / "compiled"
    if (folder / MANIFEST_FILE).is_file() and all((folder / name).is_file() for name in CONVERTED_FILES):
        opened = OpenVinoEngine(folder, precision=precision, threads=threads, cache_dir=compiled_dir)
        _check(opened, folder)
        return opened
    if cache_dir is not None:
        return _converted(folder, cache_dir / "converted" / fingerprint, precision, threads, compiled_dir)
    with tempfile.TemporaryDirectory(prefix="vitrine-convert-") as scratch:  # of no folder of ours that could be swept
        return _converted(folder, Path(scratch) / "converted", precision, threads, None)


def _converted(folder: Path, into: Path, precision: Precision, threads: int, compiled_dir: Path | None) -> Engine:
    from vitrine.encoder.conversion import convert_once

    convert_once(folder, into)
    opened = OpenVinoEngine(into, precision=precision, threads=threads, cache_dir=compiled_dir)
    _check(opened, into)
    return opened


def _check(engine: Engine, folder: Path) -> None:
    from vitrine.encoder.engines.parity import check_parity

    check_parity(engine, folder)
