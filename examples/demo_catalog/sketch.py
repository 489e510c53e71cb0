"""A sketch: the cut-out of one product, painted part by part with cloth, light and seams."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from examples.demo_catalog.materials import gloss_of, material_field
from examples.demo_catalog.outlines import Outline, box, ellipse, heart, star
from examples.demo_catalog.palette import Rgb, luminance, mix
from examples.demo_catalog.parents import Parent
from examples.demo_catalog.patterns import pattern_field

# Relief is a blur: at a quarter of the resolution it looks the same and costs a sixteenth.
_COARSE = 4
_LIGHT = (0.55, 0.8)


class Sketch:
    """An image of side x side pixels with premultiplied alpha, in unit coordinates."""

    def __init__(self, parent: Parent, side: int) -> None:
        self.parent = parent
        self.side = side
        self.rgb = np.zeros((side, side, 3), np.float32)
        self.alpha = np.zeros((side, side), np.float32)

    def shape(self, index: int, low: float = 0.0, high: float = 1.0) -> float:
        """The parent's silhouette number `index`, stretched to low..high."""
        return low + (high - low) * self.parent.shape[index]

    def choice(self, index: int, count: int) -> int:
        """The parent's silhouette number `index`, as one of `count` variants."""
        return min(int(self.parent.shape[index] * count), count - 1)

    @property
    def trim(self) -> Rgb:
        """The colour of collars, hems, soles and handles."""
        main = self.parent.rgb
        if self.parent.trim == "accent":
            return self.parent.accent_rgb
        if self.parent.trim == "dark":
            return mix(main, (0.08, 0.07, 0.09), 0.62)
        if self.parent.trim == "light":
            return mix(main, (0.97, 0.96, 0.93), 0.6)
        return mix(main, (0.05, 0.05, 0.08), 0.16)

    def part(
        self,
        outline: Outline,
        color: Rgb | None = None,
        *,
        pattern: bool = True,
        material: str | None = None,
        relief: float = 0.05,
        strength: float = 0.55,
        wrap: tuple[float, float] | None = None,
        turn: float = 0.0,
        opacity: float = 1.0,
        tone: float = 1.0,
    ) -> None:
        """Paint one part.

        Without `color` it is the product's own cloth with its pattern. `relief` is how far the rounding of its
        edges reaches (0 is flat), `wrap` = (centre, radius) bends the pattern around a cylinder, `turn` rotates the
        pattern (degrees), `tone` darkens (< 1) or lightens the whole part.
        """
        window = self._window(outline)
        if window is None:
            return
        y0, y1, x0, x1 = window
        mask = self._mask(outline, window) * np.float32(opacity)
        cloth = self._cloth(window, color, pattern=pattern and color is None, wrap=wrap, turn=turn)
        name = material if material is not None else self.parent.material
        offset = self.parent.seed % 211
        light = material_field(name, self.side, (y0 + offset, x0 + 2 * offset), (y1 - y0, x1 - x0)) * np.float32(tone)
        if relief > 0:
            light = light + self._relief(mask, relief, strength, gloss_of(name))
        _blend(self.rgb[y0:y1, x0:x1], self.alpha[y0:y1, x0:x1], mask, _lit(cloth, light))

    def line(
        self, path: Outline, width: float, color: Rgb | None = None, *, opacity: float = 0.55, dashes: float = 0.0
    ) -> None:
        """A seam, a fold or a cord along `path`; without a colour it darkens what lies below."""
        pixels = max(1, round(width * self.side))
        window = self._window(path, margin=pixels + 1)
        if window is None:
            return
        y0, y1, x0, x1 = window
        image = Image.new("L", (x1 - x0, y1 - y0), 0)
        draw = ImageDraw.Draw(image)
        points = [(x * self.side - x0, y * self.side - y0) for x, y in path]
        if dashes:
            for start, end in _dash(points, dashes * self.side):
                draw.line((*start, *end), fill=255, width=pixels)
        else:
            draw.line(points, fill=255, width=pixels, joint="curve")
        mask = np.asarray(image, dtype=np.float32) * np.float32(opacity / 255.0)
        mask = mask * self.alpha[y0:y1, x0:x1]
        if color is None:
            self.rgb[y0:y1, x0:x1] *= (1.0 - 0.75 * mask)[..., None]
        else:
            self.rgb[y0:y1, x0:x1] += mask[..., None] * (np.asarray(color, np.float32) - self.rgb[y0:y1, x0:x1])

    def fold(self, path: Outline, width: float, amount: float = -0.25) -> None:
        """A soft shadow (amount < 0) or highlight (> 0) along `path`, only where there is product already."""
        coarse = self.side // _COARSE
        image = Image.new("L", (coarse, coarse), 0)
        ImageDraw.Draw(image).line(
            [(x * coarse, y * coarse) for x, y in path], fill=255, width=max(1, round(width * coarse)), joint="curve"
        )
        self._soft(image, width * 0.55, amount)

    def shade(self, outline: Outline, blur: float, amount: float = -0.3) -> None:
        """A soft shadow (amount < 0) or highlight inside `outline`, only where there is product already."""
        coarse = self.side // _COARSE
        image = Image.new("L", (coarse, coarse), 0)
        ImageDraw.Draw(image).polygon([(x * coarse, y * coarse) for x, y in outline], fill=255)
        self._soft(image, blur, amount)

    def shine(self, outline: Outline, opacity: float) -> None:
        """A crisp reflection."""
        self.part(outline, (1.0, 1.0, 1.0), material="none", relief=0.0, opacity=opacity)

    def badge(self, x: float, y: float, radius: float) -> None:
        """The parent's badge, in its accent colour (or what shows up on it)."""
        name = self.parent.badge
        if name == "none":
            return
        color = self.parent.accent_rgb
        if self.parent.pattern != "plain" or abs(luminance(color) - luminance(self.parent.rgb)) < 0.18:
            color = (0.97, 0.96, 0.94) if luminance(self.parent.rgb) < 0.55 else (0.13, 0.13, 0.17)
        r = radius
        shapes = {
            "disc": [ellipse(x, y, r, r)],
            "star": [star(x, y, 1.15 * r)],
            "triangle": [[(x, y - r), (x + r, y + 0.8 * r), (x - r, y + 0.8 * r)]],
            "square": [box(x - 0.9 * r, y - 0.9 * r, x + 0.9 * r, y + 0.9 * r, radius=0.15 * r)],
            "heart": [heart(x, y, r)],
            "bars": [box(x - r, y + k * 0.62 * r - 0.2 * r, x + r, y + k * 0.62 * r + 0.2 * r) for k in (-1, 0, 1)],
            "ring": [ellipse(x, y, r, r)],
            "diamond": [[(x, y - 1.15 * r), (x + 0.85 * r, y), (x, y + 1.15 * r), (x - 0.85 * r, y)]],
            "moon": [
                ellipse(x, y, r, r, start=60, end=300) + ellipse(x + 0.3 * r, y, 0.7 * r, 0.75 * r, start=290, end=70)
            ],
        }
        if name == "ring":
            self.part(shapes[name][0], color, material="none", relief=0.0)
            self.part(ellipse(x, y, 0.6 * r, 0.6 * r), relief=0.0)
            return
        for outline in shapes[name]:
            self.part(outline, color, material="none", relief=0.0)

    def cutout(self) -> Image.Image:
        """The finished product, as an image in mode RGBa (premultiplied alpha)."""
        rgba = np.empty((self.side, self.side, 4), np.uint8)
        np.multiply(np.clip(self.rgb, 0.0, 1.0), 255.0, out=self.rgb)
        rgba[..., :3] = self.rgb + 0.5
        rgba[..., 3] = self.alpha * 255.0 + 0.5
        return Image.frombuffer("RGBa", (self.side, self.side), rgba.tobytes(), "raw", "RGBa", 0, 1)

    def _window(self, outline: Outline, margin: int = 1) -> tuple[int, int, int, int] | None:
        xs, ys = [p[0] for p in outline], [p[1] for p in outline]
        x0, x1 = max(0, int(min(xs) * self.side) - margin), min(self.side, int(max(xs) * self.side) + margin + 2)
        y0, y1 = max(0, int(min(ys) * self.side) - margin), min(self.side, int(max(ys) * self.side) + margin + 2)
        return (y0, y1, x0, x1) if x1 - x0 > 1 and y1 - y0 > 1 else None

    def _mask(self, outline: Outline, window: tuple[int, int, int, int]) -> np.ndarray:
        y0, y1, x0, x1 = window
        image = Image.new("L", (2 * (x1 - x0), 2 * (y1 - y0)), 0)  # twice as fine, for smooth edges
        double = 2 * self.side
        ImageDraw.Draw(image).polygon([(x * double - 2 * x0, y * double - 2 * y0) for x, y in outline], fill=255)
        return np.asarray(image.reduce(2), dtype=np.float32) * np.float32(1 / 255.0)

    def _cloth(
        self,
        window: tuple[int, int, int, int],
        color: Rgb | None,
        *,
        pattern: bool,
        wrap: tuple[float, float] | None,
        turn: float,
    ) -> np.ndarray:
        main = np.asarray(self.parent.rgb if color is None else color, np.float32)
        y0, y1, x0, x1 = window
        if not pattern or self.parent.pattern == "plain":
            return np.broadcast_to(main, (y1 - y0, x1 - x0, 3))
        u, v = _grid(self.side)
        u, v = u[y0:y1, x0:x1], v[y0:y1, x0:x1]
        if wrap is not None:
            centre, radius = wrap
            u = centre + radius * np.arcsin(np.clip((u - centre) / radius, -0.999, 0.999))
        if turn:
            c, s = np.float32(np.cos(np.deg2rad(turn))), np.float32(np.sin(np.deg2rad(turn)))
            u, v = (u - 0.5) * c - (v - 0.5) * s + 0.5, (u - 0.5) * s + (v - 0.5) * c + 0.5
        share = pattern_field(self.parent, u, v)[..., None]
        return main + share * (np.asarray(self.parent.accent_rgb, np.float32) - main)

    def _relief(self, mask: np.ndarray, reach: float, strength: float, gloss: float) -> np.ndarray:
        """How much lighter or darker each pixel is, were the part a cushion lit from the upper left."""
        height, width = mask.shape
        radius = max(reach * self.side / _COARSE, 0.6)
        pad = int(2 * radius) + 1
        small = Image.fromarray((mask * 255).astype(np.uint8)).resize(
            (max(2, width // _COARSE), max(2, height // _COARSE)), Image.Resampling.BOX
        )
        padded = Image.new("L", (small.width + 2 * pad, small.height + 2 * pad), 0)
        padded.paste(small, (pad, pad))
        field = np.asarray(padded.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) / 255.0
        gy, gx = np.gradient(field)
        slope = (gx * _LIGHT[0] + gy * _LIGHT[1]) * np.float32(2.0 * radius)
        light = strength * (slope - 0.55 * (1.0 - field) ** 1.5)
        if gloss:
            light = light + gloss * 1.6 * np.clip(slope - 0.12, 0.0, 1.0) ** 1.5
        core = light[pad:-pad, pad:-pad].astype(np.float32)
        return np.asarray(Image.fromarray(core).resize((width, height), Image.Resampling.BILINEAR))

    def _soft(self, image: Image.Image, blur: float, amount: float) -> None:
        coarse = image.width
        image = image.filter(ImageFilter.GaussianBlur(max(blur * coarse, 0.5)))
        frame = image.getbbox()
        if frame is None:
            return
        x0, y0, x1, y1 = frame
        field = np.asarray(
            image.crop(frame).resize(((x1 - x0) * _COARSE, (y1 - y0) * _COARSE), Image.Resampling.BILINEAR),
            dtype=np.float32,
        ) * np.float32(abs(amount) / 255.0)
        window = self.rgb[y0 * _COARSE : y1 * _COARSE, x0 * _COARSE : x1 * _COARSE]
        field = field[: window.shape[0], : window.shape[1], None]
        if amount < 0:
            window *= 1.0 - field
        else:
            alpha = self.alpha[y0 * _COARSE : y1 * _COARSE, x0 * _COARSE : x1 * _COARSE, None]
            window += field * (alpha - window)


@lru_cache(maxsize=4)
def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side
    return np.broadcast_to(axis[None, :], (side, side)), np.broadcast_to(axis[:, None], (side, side))


def _lit(cloth: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Below 1 light darkens; above 1 it mixes in white, so that black leather shines too."""
    dark = np.clip(light, 0.0, 1.0)
    bright = np.clip(light - 1.0, 0.0, 1.0) * np.float32(0.7)
    # dark * cloth, then mixed with white; the factors are joined first, while they have one channel only.
    factor = dark * (1.0 - bright)
    color = np.empty((*light.shape, 3), np.float32)
    for channel in range(3):  # a last axis of three broadcasts slowly
        np.multiply(cloth[..., channel], factor, out=color[..., channel])
        color[..., channel] += bright
    return color


def _blend(rgb: np.ndarray, alpha: np.ndarray, mask: np.ndarray, color: np.ndarray) -> None:
    rgb += mask[..., None] * (color - rgb)
    alpha += mask * (1.0 - alpha)


def _dash(points: list[tuple[float, float]], length: float) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    path = np.asarray(points)
    distance = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    starts = np.arange(0.0, distance[-1], 2 * length)
    ends = np.minimum(starts + length, distance[-1])
    at = lambda d: list(zip(np.interp(d, distance, path[:, 0]), np.interp(d, distance, path[:, 1]), strict=True))  # noqa: E731
    return list(zip(at(starts), at(ends), strict=True))
