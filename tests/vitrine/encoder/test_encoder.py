"""Pictures and texts to unit vectors, by each engine."""

from __future__ import annotations

import io
import json
import locale
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from vitrine.encoder import Encoder, load_encoder
from vitrine.encoder.checkpoint import materialise_checkpoint
from vitrine.encoder.engines.openvino_engine import supports_bf16
from vitrine.errors import ContractError, EncoderError, ImageError


@pytest.fixture(scope="module")
def encoder(published: Path) -> Encoder:
    return load_encoder(published)


def pictures(n: int) -> list[Image.Image]:
    rng = np.random.default_rng(3)
    return [Image.fromarray(rng.integers(0, 256, (80, 100 + row, 3), dtype=np.uint8)) for row in range(n)]


def test_embeddings_are_unit_vectors_and_norms_are_kept(encoder: Encoder) -> None:
    batch = encoder.encode_images(pictures(5))

    assert batch.embeddings.shape == (5, encoder.dimension) == (5, 48)
    assert batch.embeddings.dtype == batch.norms.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(batch.embeddings, axis=1), 1.0, atol=1e-5)
    assert np.all(batch.norms > 0)
    assert not np.allclose(batch.norms, 1.0)


def test_encoders_that_load_at_once_leave_the_locale_as_it_was(published: Path, tmp_path: Path) -> None:
    before = locale.setlocale(locale.LC_ALL)

    for _ in range(4):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: load_encoder(published, cache_dir=tmp_path), range(2)))
        found = locale.setlocale(locale.LC_ALL)
        locale.setlocale(locale.LC_ALL, before)  # under another one, files would be opened as ASCII ever after
        assert found == before


def test_openvino_and_torch_agree(encoder: Encoder, published: Path) -> None:
    reference = load_encoder(published, engine="torch")
    texts = ["a red dress", "chair " * 50, "x"]

    found = [encoder.encode_images(pictures(3)), encoder.encode_texts(texts)]
    expected = [reference.encode_images(pictures(3)), reference.encode_texts(texts)]

    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.embeddings, theirs.embeddings, atol=1e-4)
        np.testing.assert_allclose(ours.norms, theirs.norms, rtol=1e-3)
    assert encoder.fingerprint == reference.fingerprint


def test_transformers_itself_gives_the_same_text_embeddings(encoder: Encoder, checkpoint: Path) -> None:
    import torch
    from transformers import AutoTokenizer, CLIPModel

    texts = ["a red dress with blue stripes", "lamp"]
    tokens = AutoTokenizer.from_pretrained(checkpoint)(texts, padding=True, return_tensors="pt")
    model = CLIPModel.from_pretrained(checkpoint, dtype=torch.float32).eval()
    with torch.inference_mode():
        expected = model.text_projection(model.text_model(**tokens).pooler_output).numpy()

    found = encoder.encode_texts(texts)

    np.testing.assert_allclose(found.embeddings * found.norms[:, None], expected, atol=1e-3)


def test_a_batch_gives_what_its_rows_give_alone(encoder: Encoder, published: Path) -> None:
    texts = ["lamp", "a red dress with blue stripes and two wooden chairs"]
    small = load_encoder(published, batch_size=2)

    together = encoder.encode_texts(texts).embeddings
    alone = np.concatenate([encoder.encode_texts([text]).embeddings for text in texts])

    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(
        small.encode_images(pictures(5)).embeddings, encoder.encode_images(pictures(5)).embeddings, atol=1e-5
    )


def test_bytes_pictures_and_pixels_meet_in_one_embedding(encoder: Encoder) -> None:
    picture = pictures(1)[0]
    stream = io.BytesIO()
    picture.save(stream, "PNG")

    from_bytes = encoder.encode_images([stream.getvalue()])
    from_picture = encoder.encode_images([picture])
    from_pixels = encoder.encode_pixels(encoder.preprocessing.pixels([picture]))

    np.testing.assert_array_equal(from_bytes.embeddings, from_picture.embeddings)
    np.testing.assert_array_equal(from_bytes.embeddings, from_pixels.embeddings)


def test_nothing_in_gives_nothing_out(encoder: Encoder) -> None:
    assert encoder.encode_images([]).embeddings.shape == (0, 48)
    assert encoder.encode_texts([]).norms.shape == (0,)


@pytest.mark.parametrize("text", ["", "   ", "\t\n"])
def test_an_empty_text_is_refused(encoder: Encoder, text: str) -> None:
    with pytest.raises(ContractError, match="text 1 of 2 is empty"):
        encoder.encode_texts(["lamp", text])


@pytest.mark.parametrize("text", ["日本語のシャツ", "👗" * 200, "\x00\x01", "<|endoftext|> lamp", "a" * 10_000])
def test_odd_texts_get_an_embedding(encoder: Encoder, text: str) -> None:
    assert np.isfinite(encoder.encode_texts([text]).embeddings).all()


def test_broken_bytes_are_an_image_error(encoder: Encoder) -> None:
    with pytest.raises(ImageError, match="cannot be decoded"):
        encoder.encode_images([b"no picture"])


def test_pixels_of_another_shape_are_refused(encoder: Encoder) -> None:
    with pytest.raises(EncoderError, match=r"expected prepared pixels \(n, 3, 64, 64\)"):
        encoder.encode_pixels(np.zeros((1, 3, 32, 32), dtype=np.float32))


def test_threads_share_one_encoder(encoder: Encoder) -> None:
    texts = [f"chair number {number}" for number in range(24)]
    expected = encoder.encode_texts(texts).embeddings

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: encoder.encode_texts([text]).embeddings[0], texts))

    np.testing.assert_allclose(np.stack(found), expected, atol=1e-5)


def test_bf16_is_pinned_or_refused(published: Path, encoder: Encoder) -> None:
    if not supports_bf16():
        with pytest.raises(EncoderError, match="this CPU does not have it"):
            load_encoder(published, precision="bf16")
        return

    found = load_encoder(published, precision="bf16")

    cosines = np.sum(
        found.encode_images(pictures(4)).embeddings * encoder.encode_images(pictures(4)).embeddings, axis=1
    )
    assert found.precision == "bf16"
    assert cosines.min() > 0.999


def test_a_plain_checkpoint_is_converted_once_and_kept(checkpoint: Path, encoder: Encoder, tmp_path: Path) -> None:
    first = load_encoder(checkpoint, cache_dir=tmp_path)
    converted = tmp_path / "converted" / first.fingerprint
    written = (converted / "image.bin").stat().st_mtime_ns

    again = load_encoder(checkpoint, cache_dir=tmp_path)

    assert first.fingerprint == again.fingerprint == encoder.fingerprint
    assert (converted / "image.bin").stat().st_mtime_ns == written
    kept = [path.name for path in (tmp_path / "converted").iterdir() if not path.name.startswith(".")]
    assert kept == [first.fingerprint]
    assert list((tmp_path / "converted" / ".converting").iterdir()) == []


def test_an_engine_that_computes_something_else_is_refused(published: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(published, tmp_path / "encoder"))
    reference = load_file(folder / "reference.safetensors")
    reference["image_projections"] = np.ascontiguousarray(reference["image_projections"][:, ::-1])
    save_file(reference, folder / "reference.safetensors")

    with pytest.raises(EncoderError, match=r"image tower of engine openvino in fp32 has cosine"):
        load_encoder(folder)


def test_a_gpu_that_is_not_there_is_named(published: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")

    with pytest.raises(EncoderError, match="sees no GPU"):
        load_encoder(published, engine="torch", device="cuda")


def test_another_architecture_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "encoder"))
    (folder / "config.json").write_text(json.dumps({"model_type": "siglip"}))

    with pytest.raises(EncoderError, match="expected model_type 'clip', found 'siglip'"):
        load_encoder(folder)


def test_serving_loads_neither_torch_nor_transformers(published: Path) -> None:
    code = (
        "import sys; from vitrine.encoder import load_encoder\n"
        f"encoder = load_encoder({str(published)!r})\n"
        "encoder.encode_texts(['a red dress'])\n"
        "heavy = {'torch', 'transformers', 'pandas', 'openvino_telemetry.main', 'mlflow'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr


def test_a_config_as_openai_wrote_it_works_unchanged(checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "old"))
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["eos_token_id"] = 2  # as in 2021: the tower then pools at the highest id
    (folder / "config.json").write_text(json.dumps(config | {"text_config_dict": None, "vision_config_dict": None}))
    old = {"crop_size": 64, "do_center_crop": True, "do_normalize": True, "do_resize": True, "resample": 3, "size": 64}
    (folder / "preprocessor_config.json").write_text(json.dumps(old))
    (folder / "tokenizer.json").unlink()  # vocab.json and merges.txt are left

    found = load_encoder(materialise_checkpoint(folder, tmp_path / "new"))

    expected = load_encoder(checkpoint, engine="torch").encode_texts(["a red dress", "lamp"])
    np.testing.assert_allclose(found.encode_texts(["a red dress", "lamp"]).embeddings, expected.embeddings, atol=1e-4)
