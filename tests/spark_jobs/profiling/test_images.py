"""Image profiles: what is measured, each reason for a rejection, and bombs that cost nothing."""

from __future__ import annotations

import io
import resource
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.attacks import picture_files as files
from spark_jobs.deliveries.image_fetching import ImageFetcher
from spark_jobs.profiling.images import profile_bytes, profile_image
from tests.items_files import picture
from vitrine.catalogs import Catalog
from vitrine.errors import StorageError
from vitrine.items.policy import IngestPolicy
from vitrine.processes.state import garbage_kept
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

POLICY = IngestPolicy.of(Catalog(catalog_id="demo"), Settings())


def reason_of(data: bytes, policy: IngestPolicy = POLICY) -> str | None:
    verdict = profile_bytes(data, policy=policy).verdict
    return None if verdict is None else str(verdict.reason)


def test_a_verdict_on_one_file_is_the_same_each_time() -> None:
    for data in (b"<html></html>", picture(1, file_format="JPEG")[:40], picture(2)[:50]):
        first, again = (profile_bytes(data, policy=POLICY).verdict for _ in range(2))

        assert first is not None
        assert first == again
        assert " at 0x" not in first.detail


@pytest.mark.parametrize(
    ("file_format", "mode"),
    [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGBA"), ("WEBP", "RGB"), ("GIF", "P"), ("BMP", "RGB")],
)
def test_a_sound_picture_is_measured(file_format: str, mode: str) -> None:
    data = picture(1, size=(80, 60), file_format=file_format, mode=mode)

    judged = profile_bytes(data, policy=POLICY)

    assert judged.verdict is None
    profile = judged.profile
    assert (profile.image_width, profile.image_height, profile.image_format) == (80, 60, file_format)
    assert profile.image_mode == mode
    assert profile.image_size_bytes == len(data)
    assert profile.image_grayscale is (mode == "L")
    assert len(profile.perceptual_hash or "") == 16


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "image_undecodable"),
        (b"<html>not found</html>", "image_undecodable"),
        (picture(1, size=(200, 200), file_format="JPEG")[:-500], "image_undecodable"),
        (picture(1, size=(200, 200))[:300], "image_undecodable"),
        (picture(1, size=(16, 16)), "image_too_small"),
        (picture(1, size=(400, 40)), "image_extreme_aspect"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "image_undecodable"),
        (files.sound_pictures()["png without palette"], "image_undecodable"),
        (files.scan_bomb(scans=500), "image_too_much_work"),
        (files.mpo_bomb(scans=500), "image_too_much_work"),
        (files.tiff_bomb(scans=500), "image_too_much_work"),
    ],
)
def test_each_fault_has_its_reason(data: bytes, reason: str) -> None:
    assert reason_of(data) == reason


@pytest.mark.parametrize("name", ["avif", "webp animated", "tiff jpeg", "bmp runs"])
def test_what_is_decoded_apart_is_measured_like_the_others(name: str) -> None:
    small = POLICY.model_copy(update={"quality": POLICY.quality.model_copy(update={"image_min_side": 8})})

    judged = profile_bytes(files.sound_pictures()[name], policy=small)

    assert judged.verdict is None
    assert (judged.profile.image_width, judged.profile.image_height) == (24, 18)
    assert judged.profile.image_format == name.split(maxsplit=1)[0].upper()


def test_a_shops_own_limit_of_work_enters_the_ids_and_the_default_does_not() -> None:
    generous = POLICY.model_copy(update={"image_max_decode_s": 60.0})
    bomb = files.scan_bomb(scans=400, width=1_000, height=1_000)

    assert POLICY.rows_digest() == "180bbf4b1b84adf3c27d"  # of rules 3, without such a limit
    assert generous.rows_digest() != POLICY.rows_digest()
    assert reason_of(bomb) is None
    assert reason_of(bomb, POLICY.model_copy(update={"image_max_decode_s": 1.0})) == "image_too_much_work"


def test_limits_belong_to_the_policy() -> None:
    strict = POLICY.model_copy(update={"image_max_pixels": 1000})

    assert reason_of(picture(1), POLICY) is None
    assert reason_of(picture(1), strict) == "image_too_many_pixels"


@pytest.mark.parametrize("side", [9_000, 60_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(side: int) -> None:
    bomb = _png_bomb(side)
    decoded = []
    memory, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time()

    with garbage_kept():
        judged = profile_bytes(bomb, policy=POLICY, decode=lambda *arguments, **options: decoded.append(arguments))

    assert judged.verdict is not None and judged.verdict.reason == "image_too_many_pixels"
    assert decoded == []
    assert time.thread_time() - began < 0.2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 20_000  # KB


def test_an_image_of_too_many_bytes_is_refused_unread(object_store: ObjectStore) -> None:
    policy = POLICY.model_copy(update={"image_max_bytes": 1000})
    object_store.put_bytes("large.jpg", b"x" * 1001)

    judged = profile_image(f"s3://{object_store.bucket}/large.jpg", fetcher=ImageFetcher(object_store), policy=policy)

    assert judged.verdict is not None and judged.verdict.reason == "image_too_many_bytes"
    assert "at most 1,000 bytes, found 1,001" in judged.verdict.detail
    assert judged.profile.image_size_bytes == 1001
    assert judged.profile.image_sha256 is None


@pytest.mark.parametrize("uri", ["s3://{bucket}/nothing.jpg", "s3://no-such-bucket-here/a.jpg"])
def test_what_is_not_there_is_a_missing_image(uri: str, object_store: ObjectStore) -> None:
    uri = uri.format(bucket=object_store.bucket)

    judged = profile_image(uri, fetcher=ImageFetcher(object_store), policy=POLICY)

    assert judged.verdict is not None and judged.verdict.reason == "image_missing"
    assert uri in judged.verdict.detail


def test_a_server_that_is_away_blames_no_image() -> None:
    away = ObjectStore("bucket", endpoint_url="http://127.0.0.1:9", access_key="a", secret_key="b", timeout_s=0.2)

    with pytest.raises(StorageError, match="cannot reach the object store"):
        profile_image("s3://bucket/a.jpg", fetcher=ImageFetcher(away), policy=POLICY)


def test_similar_pictures_hash_alike_and_others_do_not() -> None:
    smooth = Image.fromarray(np.random.default_rng(1).integers(0, 256, (6, 6, 3), dtype=np.uint8))
    other = Image.fromarray(np.random.default_rng(2).integers(0, 256, (6, 6, 3), dtype=np.uint8))

    hashes = [_hash(smooth, quality=95), _hash(smooth, quality=40), _hash(other, quality=95)]

    assert (hashes[0] ^ hashes[1]).bit_count() <= 6
    assert (hashes[0] ^ hashes[2]).bit_count() >= 16


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 3000), st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"]))
def test_no_damage_to_a_picture_makes_profiling_fail(noise: bytes, at: int, file_format: str) -> None:
    sound = picture(3, file_format=file_format)
    at = at % len(sound)

    judged = profile_bytes(sound[:at] + noise + sound[at + len(noise) :], policy=POLICY)

    assert judged.profile.image_sha256 is not None


def _hash(image: Image.Image, *, quality: int) -> int:
    stream = io.BytesIO()
    image.resize((300, 300), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=quality)
    return int(profile_bytes(stream.getvalue(), policy=POLICY).profile.perceptual_hash or "", 16)


def _png_bomb(side: int) -> bytes:
    """A grey PNG of side x side pixels whose zeros are deflated, header and all."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side + 1) * 200))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
