"""Image-caption sets in COCO's caption format: recall in both directions.

The format: X. Chen et al., "Microsoft COCO Captions: Data Collection and Evaluation Server", arXiv:1504.00325, 2015;
the measure: A. Karpathy, L. Fei-Fei, CVPR 2015, where an image is found when any of its captions stands among the first
k.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.evaluate.catalogs.catalog import Picture, decodes
from vitrine.encoder import Encoder
from vitrine.errors import ContractError
from vitrine.retrieval.intervals import Interval, mean_interval

TOP_KS = (1, 5, 10)
_ROWS_AT_ONCE = 256
_PICTURES_AT_ONCE = 32


@dataclass(frozen=True)
class CaptionSet:
    """Pictures with what people said of them.

    Attributes:
        pictures: (n_images,).
        captions: (n_captions,).
        image_of: (n_captions,), int64: the place of each caption's picture.
        missing: images of the file that are not in the folder or cannot be decoded; left out with their captions.
    """

    pictures: tuple[Picture, ...]
    captions: tuple[str, ...]
    image_of: NDArray[np.int64]
    missing: int


@dataclass(frozen=True)
class CaptionRecall:
    """Recall@k by k, in both directions."""

    text_to_image: dict[int, Interval]
    image_to_text: dict[int, Interval]


def read_captions(captions: Path, images: Path) -> CaptionSet:
    """Reads a `captions_*.json` and the folder of its images; images without a caption are left out.

    Raises:
        ContractError: the file is not in this format, or no image of it is there.
    """
    try:
        document = json.loads(captions.read_text(encoding="utf-8"))
        names = {image["id"]: str(image["file_name"]) for image in document["images"]}
        said: dict[object, list[str]] = defaultdict(list)
        for annotation in document["annotations"]:
            if text := str(annotation["caption"]).strip():
                said[annotation["image_id"]].append(text)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ContractError(
            f"{captions}: expected COCO's caption format (images with id and file_name, annotations with image_id and "
            f"caption), found {type(error).__name__}: {error}"
        ) from error
    pictures: list[Picture] = []
    texts: list[str] = []
    image_of: list[int] = []
    wanted = [image_id for image_id in names if image_id in said]
    for image_id in wanted:
        path = images / names[image_id]
        if not (path.resolve().is_relative_to(images.resolve()) and decodes(path)):
            continue
        texts += said[image_id]
        image_of += [len(pictures)] * len(said[image_id])
        pictures.append(Picture(path))
    if not pictures:
        raise ContractError(f"{images}: none of the {len(wanted)} captioned images of {captions.name} is there")
    return CaptionSet(
        tuple(pictures), tuple(texts), np.array(image_of, dtype=np.int64), missing=len(wanted) - len(pictures)
    )


def caption_recall(encoder: Encoder, captions: CaptionSet, *, seed: int = 0) -> CaptionRecall:
    """Searches every caption among the images and every image among the captions, exactly."""
    images = np.concatenate(
        [
            encoder.encode_images(
                [picture.open() for picture in captions.pictures[start : start + _PICTURES_AT_ONCE]]
            ).embeddings
            for start in range(0, len(captions.pictures), _PICTURES_AT_ONCE)
        ]
    )
    texts = encoder.encode_texts(captions.captions).embeddings
    return recall_of_embeddings(images, texts, captions.image_of, seed=seed)


def recall_of_embeddings(
    images: NDArray[np.float32], texts: NDArray[np.float32], image_of: NDArray[np.int64], *, seed: int = 0
) -> CaptionRecall:
    """Returns recall@1, 5 and 10 in both directions.

    Args:
        images: (n_images, dimension), unit L2 norm.
        texts: (n_captions, dimension), unit L2 norm.
        image_of: (n_captions,), the image of each caption; each image has one or more.
        seed: of the intervals, which draw whole images: captions of one image are alike.
    """
    of_text = _first_ranks(texts, images, [np.array([image]) for image in image_of])
    of_image = _first_ranks(images, texts, [np.flatnonzero(image_of == image) for image in range(len(images))])
    return CaptionRecall(
        text_to_image={
            k: mean_interval((of_text < k).astype(np.float64), groups=image_of.tolist(), seed=seed) for k in TOP_KS
        },
        image_to_text={k: mean_interval((of_image < k).astype(np.float64), seed=seed) for k in TOP_KS},
    )


def _first_ranks(
    queries: NDArray[np.float32], entries: NDArray[np.float32], relevant: list[NDArray[np.int64]]
) -> NDArray[np.int64]:
    """How many entries stand before the best right one; of equal scores, those with a lower number do."""
    ranks = np.empty(len(queries), dtype=np.int64)
    for start in range(0, len(queries), _ROWS_AT_ONCE):
        scores = queries[start : start + _ROWS_AT_ONCE] @ entries.T  # (rows, n_entries)
        for place, row in enumerate(scores, start=start):
            right = relevant[place]
            best = right[np.argmax(row[right])]  # the lowest number among equals
            ranks[place] = (row > row[best]).sum() + (row[:best] == row[best]).sum()
    return ranks
