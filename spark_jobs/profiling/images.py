"""Images where they lie: fetched, measured and judged, one profile each; a bad image is a verdict, never a failure."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

from PIL import Image

from spark_jobs.deliveries.image_fetching import ImageFetcher
from spark_jobs.profiling.perceptual_hash import looks_of
from vitrine.contracts.items import Reason
from vitrine.errors import ImageError
from vitrine.identity import sha256_hex
from vitrine.images.decoding import PictureHeader, WorkLimit, decode_image, read_header
from vitrine.items.policy import IngestPolicy
from vitrine.items.rows import Verdict

# Enough for the hash and the grey flag; a JPEG is decoded at up to an eighth of its size, and its end is seen all the
# same, so that a file that is cut short is found.
_SHORTER_SIDE = 128
# Of large pictures one at a time is decoded: eight threads with 50 megapixels each would need 1.6 GB.
_LARGE_PIXELS = 8_000_000
_large_pictures = threading.Lock()


@dataclass(frozen=True)
class ImageProfile:
    """What was measured of one image; None where it was not read so far."""

    image_sha256: str | None = None
    image_size_bytes: int | None = None
    image_width: int | None = None
    image_height: int | None = None
    image_mode: str | None = None
    image_format: str | None = None
    image_grayscale: bool | None = None
    perceptual_hash: str | None = None


@dataclass(frozen=True)
class JudgedImage:
    """An image's profile, and the verdict when it is rejected."""

    profile: ImageProfile
    verdict: Verdict | None = None


def profile_image(
    uri: str,
    *,
    fetcher: ImageFetcher,
    policy: IngestPolicy,
    mark: str | None = None,
    keep: Callable[[str, bytes], None] | None = None,
) -> JudgedImage:
    """Fetches one image, with `mark` only as it was recorded, and profiles it.

    Args:
        uri: absolute.
        fetcher: of the object store.
        policy: limits and thresholds.
        mark: as `ImageFetcher.fetch` takes it.
        keep: is handed the SHA-256 and the bytes of an image that is not rejected.

    Raises:
        StorageError: the object store failed, which says nothing about the image.
    """
    fetched = fetcher.fetch(uri, max_bytes=policy.image_max_bytes, mark=mark)
    if fetched.fault is not None:
        reason = Reason.IMAGE_CHANGED if fetched.changed else Reason.IMAGE_MISSING
        judged = JudgedImage(ImageProfile(), Verdict(reason, f"{fetched.fault}; deliver the day again"))
    elif fetched.data is None:
        found = f"expected at most {policy.image_max_bytes:,} bytes, found {fetched.size_bytes:,}"
        judged = JudgedImage(
            ImageProfile(image_size_bytes=fetched.size_bytes), Verdict(Reason.IMAGE_TOO_MANY_BYTES, found)
        )
    else:
        judged = profile_bytes(fetched.data, policy=policy)
        if keep is not None and judged.verdict is None and judged.profile.image_sha256 is not None:
            keep(judged.profile.image_sha256, fetched.data)
    if judged.verdict is None:
        return judged
    return replace(judged, verdict=Verdict(judged.verdict.reason, f"{uri}: {judged.verdict.detail}"))


def profile_bytes(
    data: bytes, *, policy: IngestPolicy, decode: Callable[..., Image.Image] = decode_image
) -> JudgedImage:
    """Profiles image bytes; the limit on pixels is checked from the header, before any pixel is decoded."""
    profile = ImageProfile(image_sha256=sha256_hex(data), image_size_bytes=len(data))
    work = WorkLimit.of(policy.image_max_decode_s)
    try:
        header = read_header(data, max_pixels=policy.image_max_pixels, work=work)
    except ImageError as error:
        return JudgedImage(profile, Verdict(Reason(error.reason), str(error)))
    profile = replace(
        profile,
        image_width=header.width,
        image_height=header.height,
        image_mode=header.mode,
        image_format=header.format,
    )
    if (verdict := _judge_pixels(header, policy)) is not None:
        return JudgedImage(profile, verdict)
    large = header.width * header.height > _LARGE_PIXELS
    try:
        with _large_pictures if large else nullcontext():
            image = decode(data, max_pixels=policy.image_max_pixels, shorter_side=_SHORTER_SIDE, work=work)
            looks = looks_of(image)
    except ImageError as error:
        return JudgedImage(profile, Verdict(Reason(error.reason), str(error)))
    profile = replace(profile, image_grayscale=looks.grayscale, perceptual_hash=looks.perceptual_hash)
    return JudgedImage(profile, _judge_shape(header, policy))


def _judge_pixels(header: PictureHeader, policy: IngestPolicy) -> Verdict | None:
    if header.width * header.height <= policy.image_max_pixels:
        return None
    found = f"{header.width} x {header.height}"
    return Verdict(Reason.IMAGE_TOO_MANY_PIXELS, f"expected at most {policy.image_max_pixels:,} pixels, found {found}")


def _judge_shape(header: PictureHeader, policy: IngestPolicy) -> Verdict | None:
    shorter, longer = sorted((header.width, header.height))
    found = f"found {header.width} x {header.height}"
    if shorter < policy.quality.image_min_side:
        return Verdict(
            Reason.IMAGE_TOO_SMALL,
            f"expected a shorter side of at least {policy.quality.image_min_side} pixels, {found}",
        )
    if longer > policy.quality.image_max_aspect_ratio * shorter:
        limit = policy.quality.image_max_aspect_ratio
        return Verdict(Reason.IMAGE_EXTREME_ASPECT, f"expected sides of at most {limit:g} to 1, {found}")
    return None
