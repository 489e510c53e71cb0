"""A copied folder holds the bytes that were hashed, or the delivery fails; what cannot be read is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark_jobs.deliveries import folder_images
from spark_jobs.deliveries.folder_images import copy_file, copy_images, hash_images
from spark_jobs.deliveries.image_listing import image_listing
from tests.items_files import picture, write_images
from vitrine.errors import DeliveryError
from vitrine.identity import sha256_hex
from vitrine.storage import ObjectStore


class _TornStore(ObjectStore):
    """Says that an upload went well, and keeps only half of it."""

    def put_file(self, key: str, path: Path) -> None:
        super().put_bytes(key, path.read_bytes()[: path.stat().st_size // 2])


def test_an_image_that_was_changed_between_hash_and_copy_is_found(object_store: ObjectStore, tmp_path: Path) -> None:
    write_images(tmp_path, {"a.png": picture(1), "b.png": picture(2)})
    with image_listing() as listing:
        hash_images(listing, tmp_path, ["a.png", "b.png"], threads=2, advance=_ignore)
        write_images(tmp_path, {"b.png": picture(3)})

        with pytest.raises(DeliveryError, match=r"b\.png: expected the bytes of sha256 .* it was changed meanwhile"):
            copy_images(listing, tmp_path, object_store, prefix="copy", threads=2, advance=_ignore)

    assert not object_store.exists("copy/b.png")


def test_a_torn_upload_of_a_large_file_is_found(
    object_store: ObjectStore, s3_server: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_images, "_SENT_WHOLE_BYTES", 100)
    data = picture(1)
    write_images(tmp_path, {"a.png": data})

    copy_file(object_store, "whole.png", tmp_path / "a.png", sha256=sha256_hex(data))
    with pytest.raises(DeliveryError, match="the upload was torn"):
        copy_file(_TornStore(object_store.bucket, **s3_server), "torn.png", tmp_path / "a.png", sha256=sha256_hex(data))

    assert object_store.get_bytes("whole.png") == data


def test_an_image_that_cannot_be_read_is_as_one_that_is_not_there() -> None:
    folder = Path("/proc/self").resolve()  # `mem` fails to be read even for root
    with image_listing() as listing:
        hash_images(listing, folder, ["mem", "cmdline"], threads=2, advance=_ignore)

        assert [path for path, _ in listing.marked()] == ["cmdline"]


def test_a_file_whose_name_is_no_text_is_as_one_that_is_not_there(tmp_path: Path) -> None:
    write_images(tmp_path, {"caf\udce9.png": picture(1), "a.png": picture(2)})
    with image_listing() as listing:
        hash_images(listing, tmp_path, ["caf\udce9.png", "a.png"], threads=2, advance=_ignore)

        assert [path for path, _ in listing.marked()] == ["a.png"]


def _ignore(count: int = 1) -> None:
    pass
