"""The images of one delivery: looked up where they lie, told apart by their marks, and copied with a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from spark_jobs.deliveries.folder_images import copy_images, hash_images
from spark_jobs.deliveries.image_fetching import ImageFetcher
from spark_jobs.deliveries.image_listing import ImageListing, image_listing, write_marks
from spark_jobs.deliveries.prefix_images import mark_elsewhere, mark_images, noting_elsewhere
from vitrine.contracts.datasets import PartFile
from vitrine.items.image_uris import ImagePlaces
from vitrine.items.sources import DeliverySource
from vitrine.progress import progress
from vitrine.storage import ObjectStore
from vitrine.storage.object_store import file_sha256


@dataclass(frozen=True)
class MarksFile:
    """A file of marks on this machine, and what it will be in the store."""

    path: Path
    stored: PartFile


@dataclass(frozen=True)
class DeliveryImages:
    """The images that the rows of a delivery name.

    Attributes:
        opened: the source of the delivery.
        own: images of its folder or below its prefix.
        elsewhere: images that lie outside, by their absolute URIs.
        label: of the progress that is shown.
        threads: that hash, ask and copy.
    """

    opened: DeliverySource
    own: ImageListing
    elsewhere: ImageListing
    label: str
    threads: int

    def look_up(self, store: ObjectStore, uris: Iterable[str], *, places: ImagePlaces) -> None:
        """Lists the images that the URIs name, each with what marks its content.

        Raises:
            StorageError: the object store failed.
        """
        uris = noting_elsewhere(uris, self.elsewhere, places=places)
        folder, base, threads = self.opened.folder, self.opened.images_base, self.threads
        with progress(f"{self.label}: rows whose images are looked up") as advance:
            if folder is not None:
                hash_images(self.own, folder.resolve(), uris, threads=threads, advance=advance)
            elif base is not None:
                mark_images(self.own, store, images_base=base, uris=uris, threads=threads, advance=advance)
        with progress(f"{self.label}: images elsewhere") as advance:
            mark_elsewhere(self.elsewhere, ImageFetcher(store), threads=threads, advance=advance)

    def identity(self) -> str | list[str]:
        """Returns what the images add to the delivery's id: their marks, and the prefix below which they stay."""
        own, base = self.own.digest(), self.opened.images_base
        if not self.elsewhere.is_empty():
            return [base or "", own, self.elsewhere.digest()]
        return own if base is None else [base, own]

    def write_marks(self, path: Path, *, prefix: str) -> MarksFile | None:
        """Writes the marks of all images that are not copied; returns None where there are none."""
        base = self.opened.images_base
        below = () if base is None else ((base + name, mark) for name, mark in self.own.entries())
        rows = write_marks(chain(below, self.elsewhere.entries()), path)
        if not rows:
            return None
        sha256 = file_sha256(path)
        return MarksFile(path, PartFile(key=f"{prefix}/image_marks/{sha256}.parquet", rows=rows, sha256=sha256))

    def copy(self, store: ObjectStore, *, prefix: str) -> None:
        """Copies a folder's images to `<prefix>/<path>`; others stay where they lie.

        Raises:
            DeliveryError: an image is not what was hashed any more.
        """
        folder = self.opened.folder
        if folder is None:
            return
        with progress(f"{self.label}: images copied", total=len(self.own)) as advance:
            copy_images(self.own, folder, store, prefix=prefix, threads=self.threads, advance=advance)


@contextmanager
def delivery_images(opened: DeliverySource, scratch: Path, *, label: str, threads: int) -> Iterator[DeliveryImages]:
    """Yields the images of a source, none of them looked up yet; they are listed in files below `scratch`."""
    with image_listing(scratch / "images.sqlite") as own, image_listing(scratch / "elsewhere.sqlite") as elsewhere:
        yield DeliveryImages(opened, own, elsewhere, label, threads)
