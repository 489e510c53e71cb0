"""`encoder.json`: what a published encoder consists of."""

from __future__ import annotations

from pathlib import Path

from vitrine.contracts.document import Document, StoredFile
from vitrine.errors import EncoderError

MANIFEST_FILE = "encoder.json"


class EncoderManifest(Document):
    """Written last: an encoder whose manifest exists is complete.

    Attributes:
        fingerprint: names the embedding space.
        dimension: of the embeddings.
        image_size: side of the square that the image tower reads.
        context_length: tokens that the text tower reads at most.
        preprocessing_digest: of the image path.
        parity: lowest cosine of the converted towers to torch in fp32, on the machine that published.
        files: everything else in the folder.
    """

    fingerprint: str
    dimension: int
    image_size: int
    context_length: int
    preprocessing_digest: str
    parity: float
    files: list[StoredFile]

    @classmethod
    def from_folder(cls, folder: Path) -> EncoderManifest:
        """Reads `encoder.json` of a fetched encoder.

        Raises:
            EncoderError: there is none.
        """
        path = folder / MANIFEST_FILE
        if not path.is_file():
            raise EncoderError(f"{folder}: expected {MANIFEST_FILE}; fetch_encoder makes such folders")
        return cls.from_bytes(path.read_bytes())
