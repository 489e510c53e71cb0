"""Converts a checkpoint for OpenVINO, and writes the reference that every engine is checked against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitrine.encoder.architecture import Architecture
from vitrine.encoder.checkpoint import load_checkpoint
from vitrine.encoder.engines.openvino_engine import IMAGE_FILE, TEXT_FILE, OpenVinoEngine, import_openvino
from vitrine.encoder.engines.parity import check_parity, write_reference
from vitrine.encoder.tokenizer import TextTokenizer
from vitrine.errors import EncoderError
from vitrine.files.scratch import swept_folder

_PROBE_TEXTS = ("a red dress", "two small wooden chairs, seen from the side", "lamp")


def convert_once(folder: Path, into: Path) -> None:
    """Like `convert_checkpoint`, and does nothing when `into` holds a whole conversion already.

    Several processes may race: each converts into a folder of its own, and the first rename wins.
    """
    if any(into.iterdir()) if into.is_dir() else False:
        return
    with swept_folder(into.parent / ".converting", "convert") as scratch:
        own = scratch / "converted"
        convert_checkpoint(folder, own)
        try:
            own.rename(into)
        except OSError:
            if not any(into.iterdir()):
                raise


def convert_checkpoint(folder: Path, into: Path) -> float:
    """Writes `image.xml/bin`, `text.xml/bin` and `reference.safetensors` for the checkpoint in `folder`.

    The towers take any batch size, and texts of any length up to the context.

    Returns:
        The lowest cosine similarity of a converted tower to torch.

    Raises:
        EncoderError: the checkpoint cannot be loaded, or the converted towers do not agree with torch.
    """
    import torch

    from vitrine.encoder.engines.torch_engine import towers

    into.mkdir(parents=True, exist_ok=True)
    architecture = Architecture.from_folder(folder)
    image_tower, text_tower = towers(load_checkpoint(folder))
    token_ids = TextTokenizer(folder, context_length=architecture.context_length).token_ids(_PROBE_TEXTS)
    pixels = write_reference(
        into, image_tower=image_tower, text_tower=text_tower, image_size=architecture.image_size, token_ids=token_ids
    )
    batch = torch.export.Dim("batch", min=1, max=4096)
    length = torch.export.Dim("length", min=2, max=architecture.context_length)
    _convert(image_tower, torch.from_numpy(pixels), dynamic={0: batch}, path=into / IMAGE_FILE)
    _convert(text_tower, torch.from_numpy(token_ids), dynamic={0: batch, 1: length}, path=into / TEXT_FILE)
    return check_parity(OpenVinoEngine(into), into)


def _convert(tower: Any, example: Any, *, dynamic: dict[int, Any], path: Path) -> None:
    import torch

    openvino = import_openvino()
    try:
        exported = torch.export.export(tower, (example,), dynamic_shapes=(dynamic,))
        converted = openvino.convert_model(exported)
        # fp16 weights would halve the files and move the embeddings; the fingerprint promises float32.
        openvino.save_model(converted, path, compress_to_fp16=False)
    except Exception as error:
        raise EncoderError(f"{path.name}: the tower cannot be converted for OpenVINO: {error}") from error
