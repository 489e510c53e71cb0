"""Image-caption sets in COCO's format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.evaluate.coco import read_captions, recall_of_embeddings
from vitrine.errors import ContractError


def captions_file(folder: Path) -> Path:
    for name in ("1.jpg", "2.jpg"):
        Image.new("RGB", (40, 40), "red").save(folder / name)
    images = [{"id": n, "file_name": f"{n}.jpg"} for n in (1, 2, 3, 4)] + [{"id": 9, "file_name": "../1.jpg"}]
    said = [(1, "a cup"), (2, "a hat"), (1, "the cup"), (3, "is not there"), (9, "is elsewhere")]
    annotations = [{"id": n, "image_id": image, "caption": text} for n, (image, text) in enumerate(said)]
    path = folder / "captions_val.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def test_captions_go_with_their_images_and_missing_images_are_counted(tmp_path: Path) -> None:
    found = read_captions(captions_file(tmp_path), tmp_path)

    assert [picture.path.name for picture in found.pictures] == ["1.jpg", "2.jpg"]
    assert found.captions == ("a cup", "the cup", "a hat")
    assert found.image_of.tolist() == [0, 0, 1]
    assert found.missing == 2


def test_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "instances.json").write_text('{"images": [{"id": 1}]}')

    with pytest.raises(ContractError, match="COCO's caption format"):
        read_captions(tmp_path / "instances.json", tmp_path)


def test_recall_in_both_directions_equals_an_obvious_search() -> None:
    rng = np.random.default_rng(2)
    image_of = np.sort(np.concatenate([np.arange(30), rng.integers(0, 30, 40)]))
    images = rng.normal(size=(30, 4)).astype(np.float32)
    texts = (images[image_of] + rng.normal(size=(70, 4))).astype(np.float32)

    found = recall_of_embeddings(images, texts, image_of)

    for k in (1, 5, 10):
        forth = [image_of[row] in np.argsort(-(images @ texts[row]))[:k] for row in range(70)]
        back = [bool((image_of[np.argsort(-(texts @ images[row]))[:k]] == row).any()) for row in range(30)]
        assert found.text_to_image[k].mean == pytest.approx(np.mean(forth))
        assert found.image_to_text[k].mean == pytest.approx(np.mean(back))
    assert found.text_to_image[1].groups == 30
