"""Cheap augmentations of whole batches, on the CPU or a GPU."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Alterations:
    """How each of n pictures is altered; (n,) float32 each.

    Attributes:
        window: the share of the picture's side that is seen; above 1 its border is drawn out.
        angle: of the turn, in radians.
        mirror: -1 where it is mirrored, else 1.
        stretch: of the width, and the inverse of the height.
        shift_x, shift_y: where the window lies, -1 to 1.
        brightness, contrast, saturation: factors.
    """

    window: torch.Tensor
    angle: torch.Tensor
    mirror: torch.Tensor
    stretch: torch.Tensor
    shift_x: torch.Tensor
    shift_y: torch.Tensor
    brightness: torch.Tensor
    contrast: torch.Tensor
    saturation: torch.Tensor

    def rows(self, chosen: slice) -> Alterations:
        """Returns those of some of the pictures."""
        return Alterations(**{name: values[chosen] for name, values in vars(self).items()})


def draw_alterations(
    n: int,
    *,
    generator: torch.Generator,
    min_zoom: float = 0.85,
    max_zoom: float = 1.35,
    max_rotation_deg: float = 14.0,
    color_jitter: float = 0.12,
) -> Alterations:
    """Draws mild alterations, hues left alone: colour is what people search by.

    Args:
        n: pictures.
        generator: its device is where the numbers are.
        min_zoom, max_zoom: how far a picture may shrink (its border is drawn out) and be enlarged.
        max_rotation_deg: largest turn to either side.
        color_jitter: largest relative change of brightness, contrast and saturation.
    """

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.rand(n, generator=generator, device=generator.device) * (high - low) + low

    window = 1.0 / uniform(min_zoom, max_zoom)
    angle = uniform(-max_rotation_deg, max_rotation_deg) * math.pi / 180.0
    mirror = torch.where(uniform(0.0, 1.0) < 0.5, -1.0, 1.0)
    stretch = uniform(0.92, 1.08)
    shift_x, shift_y = uniform(-1, 1), uniform(-1, 1)
    brightness, contrast, saturation = (uniform(1 - color_jitter, 1 + color_jitter) for _ in range(3))
    return Alterations(window, angle, mirror, stretch, shift_x, shift_y, brightness, contrast, saturation)


def alter(squares: torch.Tensor, alterations: Alterations, *, image_size: int) -> torch.Tensor:
    """Crops, turns, mirrors and recolours each picture as it was drawn.

    Args:
        squares: (n, side, side, 3), uint8.
        alterations: for the n pictures.
        image_size: side of what comes out.

    Returns:
        (n, 3, image_size, image_size), float32 in [0, 1].
    """
    n, drawn = len(squares), alterations
    pixels = squares.permute(0, 3, 1, 2).to(torch.float32) / 255.0
    cosine, sine = torch.cos(drawn.angle), torch.sin(drawn.angle)
    left, top = (1 - drawn.window) * drawn.shift_x, (1 - drawn.window) * drawn.shift_y
    across = torch.stack([drawn.window * drawn.mirror * cosine * drawn.stretch, -drawn.window * sine, left], 1)
    down = torch.stack([drawn.window * drawn.mirror * sine, drawn.window * cosine / drawn.stretch, top], 1)
    grid = F.affine_grid(torch.stack([across, down], dim=1), [n, 3, image_size, image_size], align_corners=False)
    cropped = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    grey = cropped.mean(dim=1, keepdim=True)
    recoloured = grey + (cropped - grey) * drawn.saturation.view(n, 1, 1, 1)
    mean = recoloured.mean(dim=(1, 2, 3), keepdim=True)
    contrasted = (recoloured - mean) * drawn.contrast.view(n, 1, 1, 1) + mean * drawn.brightness.view(n, 1, 1, 1)
    return contrasted.clamp(0.0, 1.0)


def augment(squares: torch.Tensor, *, image_size: int, generator: torch.Generator) -> torch.Tensor:
    """Alters each picture a little: (n, side, side, 3), uint8, to (n, 3, image_size, image_size), float32 in [0, 1].

    Args:
        generator: on the device of `squares`.
    """
    return alter(squares, draw_alterations(len(squares), generator=generator), image_size=image_size)


def replace_backdrops(
    squares: torch.Tensor, *, share: float, generator: torch.Generator, tolerance: float = 0.06
) -> torch.Tensor:
    """Puts a share of studio pictures on other backdrops: random colours with soft light and texture.

    A backdrop is what hangs together with the border and has nearly its colour. Pictures of which hardly anything
    would be left (white on white) stay as they are.

    Args:
        squares: (n, side, side, 3), uint8.
        share: of the pictures, 0 to 1.

    Returns:
        The same shape, uint8.
    """
    n, side = squares.shape[:2]
    chosen = (torch.rand(n, generator=generator) < share).nonzero().flatten()
    if not len(chosen):
        return squares
    pixels = squares[chosen].permute(0, 3, 1, 2).to(torch.float32) / 255.0
    region = _backdrop(pixels, tolerance=tolerance)
    region = region * ((region.mean(dim=(1, 2, 3), keepdim=True) - 0.5).abs() < 0.38)
    greys = torch.rand(len(chosen), 1, 1, 1, generator=generator) * 0.85 + 0.1
    colors = greys + (torch.rand(len(chosen), 3, 1, 1, generator=generator) - 0.5) * 0.4
    blotches = torch.randn(len(chosen), 3, 5, 5, generator=generator) * 0.07
    texture = torch.randn(len(chosen), 1, side // 2, side // 2, generator=generator) * 0.04
    backdrop = colors + sum(
        F.interpolate(noise, size=(side, side), mode="bilinear", align_corners=False) for noise in (blotches, texture)
    )
    mixed = pixels * (1 - region) + backdrop.clamp(0.0, 1.0) * region
    result = squares.clone()
    result[chosen] = (mixed * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1)
    return result


def _backdrop(pixels: torch.Tensor, *, tolerance: float) -> torch.Tensor:
    """(n, 1, side, side), float32: 1 where the backdrop is."""
    border = torch.cat([pixels[:, :, 0], pixels[:, :, -1], pixels[:, :, :, 0], pixels[:, :, :, -1]], dim=2)
    color = border.median(dim=2).values[:, :, None, None]
    near = ((pixels - color).abs().amax(dim=1, keepdim=True) < tolerance).to(torch.float32)
    coarse = (F.avg_pool2d(near, 4) > 0.9).to(torch.float32)  # growing on all pixels would take longer than training
    region = torch.zeros_like(coarse)
    region[..., 0, :] = region[..., -1, :] = region[..., :, 0] = region[..., :, -1] = 1.0
    region *= coarse
    for _ in range(coarse.shape[-1]):
        grown = F.max_pool2d(region, 3, stride=1, padding=1) * coarse
        if torch.equal(grown, region):
            break
        region = grown
    whole = F.interpolate(region, size=pixels.shape[-2:], mode="nearest")
    return F.max_pool2d(whole, 7, stride=1, padding=3) * near
