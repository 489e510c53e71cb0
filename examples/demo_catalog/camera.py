"""The camera: cut-outs of products, turned and scaled into a picture, and the shadows that they throw."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from examples.demo_catalog.drawings import DRAWINGS
from examples.demo_catalog.parents import Parent
from examples.demo_catalog.sketch import Sketch

# A cut-out is drawn larger than a view shows it, so that turning it costs no sharpness.
_SUPERSAMPLE = 1.7


@dataclass(frozen=True)
class ViewParams:
    """How one view was taken.

    `yaw` foreshortens the width (1 is frontal), `shear` leans it, `rotation` is in degrees, `scale` is the share of
    the picture's side, `offset_x`/`offset_y` shift the product (shares of the side), `brightness` and `warmth` are
    the light, `background` numbers the studio or the room.
    """

    yaw: float
    shear: float
    rotation: float
    scale: float
    offset_x: float
    offset_y: float
    brightness: float
    warmth: float
    mirrored: bool
    background: int
    keystone: float = 0.0
    blur: float = 0.0
    noise: float = 0.0


@dataclass(frozen=True)
class Placed:
    """A cut-out as the camera sees it, at (top, left) of the picture.

    `rgba` is premultiplied float32 in 0..1, (height, width, 4).
    """

    rgba: np.ndarray
    top: int
    left: int

    def over(self, canvas: np.ndarray, light: np.ndarray | float = 1.0) -> None:
        """Lay the product on `canvas` (size, size, 3), under `light` (a factor for all or for each colour)."""
        height, width = self.rgba.shape[:2]
        below = canvas[self.top : self.top + height, self.left : self.left + width]
        darken(below, 1.0 - self.rgba[..., 3])
        below += self.rgba[..., :3] * light


@lru_cache(maxsize=24)
def cutout(parent: Parent, side: int) -> Image.Image:
    """The product on nothing, cropped to a square that it fills, mode RGBa (premultiplied alpha)."""
    sketch = Sketch(parent, side)
    DRAWINGS[parent.product_type](sketch)
    image = sketch.cutout()
    frame = image.getbbox()
    if frame is None:
        raise ValueError(f"{parent.product_type} {parent.parent_id}: the drawing is empty")
    x0, y0, x1, y1 = frame
    # A square of at least 0.6 of the canvas: small things stay a little smaller than large ones.
    edge = max(x1 - x0 + 2, y1 - y0 + 2, int(0.6 * side))
    left, top = (x0 + x1 - edge) // 2, (y0 + y1 - edge) // 2
    return image.crop((left, top, left + edge, top + edge))


def place(image: Image.Image, params: ViewParams, size: int) -> Placed:
    """The cut-out, turned and scaled into a picture of `size` pixels; only the part that it covers is computed."""
    source = image.width
    angle = np.deg2rad(params.rotation)
    flip = -1.0 if params.mirrored else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    form = np.array([[params.yaw * flip, params.shear], [0.0, 1.0]])
    forward = turn @ form * (params.scale * size / source)
    inverse = np.linalg.inv(forward)
    centre = np.array([size * (0.5 + params.offset_x), size * (0.5 + params.offset_y)])
    middle = np.array([source / 2, source / 2])
    reach = np.abs(forward) @ middle * (1.0 + 1.4 * abs(params.keystone)) + 1.0
    left, top = (max(0, int(v)) for v in np.floor(centre - reach))
    right, bottom = (min(size, int(v)) for v in np.ceil(centre + reach))
    if right <= left or bottom <= top:
        return Placed(np.zeros((1, 1, 4), np.float32), 0, 0)
    window = (right - left, bottom - top)
    local = centre - (left, top)
    shift = middle - inverse @ local
    if params.keystone:
        # A projective term along x: one side of the product is nearer to the camera. The term must vanish at the
        # centre, or the product would also move.
        k = params.keystone / size
        a = inverse + np.outer(middle, [k, 0.0])
        b = shift - middle * k * local[0]
        d = 1.0 - k * local[0]
        data = (a[0, 0] / d, a[0, 1] / d, b[0] / d, a[1, 0] / d, a[1, 1] / d, b[1] / d, k / d, 0.0)
        warped = image.transform(window, Image.Transform.PERSPECTIVE, data, Image.Resampling.BILINEAR)
    else:
        affine = (inverse[0, 0], inverse[0, 1], shift[0], inverse[1, 0], inverse[1, 1], shift[1])
        warped = image.transform(window, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    return Placed(np.asarray(warped, dtype=np.float32) * np.float32(1 / 255.0), top, left)


def darken(canvas: np.ndarray, factor: np.ndarray) -> None:
    """Multiply each colour of `canvas` (height, width, 3) by `factor` (height, width).

    One colour at a time: broadcasting over a last axis of three took three to four times as long.
    """
    for channel in range(3):
        canvas[..., channel] *= factor


def drop_shadow(canvas: np.ndarray, placed: Placed, *, standing: bool, strength: float = 0.30) -> None:
    """Darken `canvas` (size, size, 3) where a product throws its shadow."""
    size = canvas.shape[0]
    coarse = size // 4
    height, width = placed.rgba.shape[:2]
    alpha = np.zeros((size, size), np.uint8)
    alpha[placed.top : placed.top + height, placed.left : placed.left + width] = placed.rgba[..., 3] * 255.0
    small = Image.fromarray(alpha).resize((coarse, coarse), Image.Resampling.BOX)
    image = Image.new("L", (coarse, coarse), 0)
    if standing:
        frame = small.getbbox()
        if frame is None:
            return
        x0, _, x1, y1 = frame
        flat = max(2, round(0.035 * coarse))
        ImageDraw.Draw(image).ellipse((x0 + 1, y1 - 1.5 * flat, x1 + 1, y1 + 0.5 * flat), fill=255)
        image = image.filter(ImageFilter.GaussianBlur(0.022 * coarse))
        strength *= 1.25
    else:
        image.paste(small, (round(0.018 * coarse), round(0.032 * coarse)))
        image = image.filter(ImageFilter.GaussianBlur(0.03 * coarse))
    image = image.resize((size, size), Image.Resampling.BILINEAR)
    frame = image.getbbox()
    if frame is None:
        return
    x0, y0, x1, y1 = frame
    shadow = np.asarray(image.crop(frame), dtype=np.float32)
    darken(canvas[y0:y1, x0:x1], 1.0 - shadow * np.float32(strength / 255.0))


def cutout_side(size: int) -> int:
    """How large a cut-out is drawn for views of `size` pixels; a multiple of four."""
    return max(64, int(size * _SUPERSAMPLE) // 4 * 4)


def to_image(canvas: np.ndarray) -> Image.Image:
    """Float 0..1 to an 8-bit RGB image; `canvas` is used up."""
    np.multiply(canvas, np.float32(255.0), out=canvas)
    np.add(canvas, np.float32(0.5), out=canvas)
    np.clip(canvas, 0.0, 255.0, out=canvas)
    return Image.fromarray(canvas.astype(np.uint8))
