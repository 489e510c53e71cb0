"""Augmentations keep what people search by."""

from __future__ import annotations

import numpy as np
import torch

from training.data.augmentation import augment, replace_backdrops


def studio_pictures(n: int = 6) -> torch.Tensor:
    """A dark red square in front of a light grey wall."""
    squares = np.full((n, 64, 64, 3), 240, dtype=np.uint8)
    squares[:, 16:48, 16:48] = (150, 20, 20)
    return torch.from_numpy(squares)


def test_augmented_pictures_have_the_asked_shape_and_range() -> None:
    found = augment(studio_pictures(), image_size=48, generator=torch.Generator().manual_seed(0))

    assert found.shape == (6, 3, 48, 48)
    assert found.dtype == torch.float32
    assert float(found.min()) >= 0.0
    assert float(found.max()) <= 1.0


def test_a_seed_gives_the_same_pictures_again() -> None:
    first, again = (
        augment(studio_pictures(), image_size=48, generator=torch.Generator().manual_seed(7)) for _ in range(2)
    )

    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])


def test_the_colour_in_the_middle_stays_red() -> None:
    found = augment(studio_pictures(32), image_size=48, generator=torch.Generator().manual_seed(1))

    red, green, blue = found[:, :, 22:26, 22:26].mean(dim=(2, 3)).unbind(dim=1)
    assert torch.all(red > green + 0.25)
    assert torch.all(red > blue + 0.25)


def test_a_new_backdrop_leaves_the_product_alone() -> None:
    squares = studio_pictures()

    found = replace_backdrops(squares, share=1.0, generator=torch.Generator().manual_seed(2))

    assert torch.equal(found[:, 20:44, 20:44], squares[:, 20:44, 20:44])
    changed = (found[:, :12].int() - squares[:, :12].int()).abs().float().mean(dim=(1, 2, 3))
    assert torch.all(changed > 5)


def test_a_picture_that_is_all_backdrop_stays_as_it_is() -> None:
    white = torch.full((3, 64, 64, 3), 250, dtype=torch.uint8)

    assert torch.equal(replace_backdrops(white, share=1.0, generator=torch.Generator().manual_seed(3)), white)


def test_a_share_of_nothing_changes_nothing() -> None:
    squares = studio_pictures()

    assert torch.equal(replace_backdrops(squares, share=0.0, generator=torch.Generator().manual_seed(4)), squares)
