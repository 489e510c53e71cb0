"""Image URIs as delivered: made absolute, or refused with the reason why nothing can be there."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
MAX_KEY_BYTES = 1024  # the limit of S3


@dataclass(frozen=True)
class ImageUri:
    """An absolute URI, or the delivered one with `fault`, which says why it is not read.

    `forbidden` tells that something may be there, and that this catalog's deliveries may not name it.
    """

    uri: str
    fault: str | None = None
    forbidden: bool = False


@dataclass(frozen=True)
class ImagePlaces:
    """Where the image URIs of a delivery may point: the platform's credentials open more than a shop may name.

    Attributes:
        base: `s3://` prefix that relative URIs are resolved against, with a slash at its end. What lies below it may
            always be named, and in its bucket all, unless that is the platform's.
        buckets: what the catalog declares besides as `image_buckets`: `bucket` or `bucket/prefix`.
        platform_bucket: holds every catalog, so that it is read only below `base` and below declared prefixes.
    """

    base: str
    buckets: tuple[str, ...] = ()
    platform_bucket: str = ""

    def allow(self, uri: str) -> bool:
        """Tells whether an absolute URI, whose key has no empty, `.` or `..` segments, may be read."""
        if uri.startswith(self.base):
            return True
        place = uri.removeprefix("s3://")
        bucket = place.partition("/")[0]
        is_platform = bucket == self.platform_bucket
        own = self.base.removeprefix("s3://").partition("/")[0]
        declared = [entry.strip("/") for entry in self.buckets if "/" in entry.strip("/") or not is_platform]
        return (bucket == own and not is_platform) or any(place.startswith(f"{entry}/") for entry in declared)


def resolve_image_uri(uri: str, *, places: ImagePlaces) -> ImageUri:
    """Makes a delivered URI absolute, and says whether it may be read."""
    if _CONTROL.search(uri):
        return ImageUri(_CONTROL.sub("�", uri), "the URI holds control characters")
    if not _SCHEME.match(uri):
        path = relative_path(uri)
        if path is None:
            return ImageUri(uri, "a relative URI must stay inside the folder of the delivery")
        return _checked(f"{places.base}{path}")
    if not uri.startswith("s3://"):
        scheme = uri.partition(":")[0]
        return ImageUri(uri, f"scheme {scheme!r} is not read; expected s3:// or a path relative to the items file")
    checked = _checked(uri)
    if checked.fault is None and not places.allow(uri):
        bucket = uri.removeprefix("s3://").partition("/")[0]
        detail = f"bucket {bucket!r} is not this delivery's; list it, or a prefix in it, under `image_buckets`"
        return ImageUri(uri, detail, forbidden=True)
    return checked


def relative_path(uri: str) -> str | None:
    """Returns a relative URI without `.` segments, or None when it leaves its folder."""
    if uri.startswith("/"):
        return None
    segments = [segment for segment in uri.split("/") if segment not in ("", ".")]
    return "/".join(segments) if segments and ".." not in segments else None


def is_relative(uri: str) -> bool:
    """Tells whether a URI has no scheme, so that it lies in the delivery's own folder."""
    return not _SCHEME.match(uri)


def _checked(uri: str) -> ImageUri:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not _BUCKET.fullmatch(bucket) or not key or key.endswith("/"):
        return ImageUri(uri, "expected s3://bucket/key")
    if any(segment in ("", ".", "..") for segment in key.split("/")):
        return ImageUri(uri, "a key with empty, `.` or `..` segments is not read")
    if len(key.encode()) > MAX_KEY_BYTES:
        return ImageUri(uri, f"the key is longer than the {MAX_KEY_BYTES} bytes of S3")
    return ImageUri(uri)
