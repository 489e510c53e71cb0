"""What all JSON contracts share: frozen, strict about unknown fields, canonical bytes."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from vitrine.errors import ContractError
from vitrine.identity import canonical_json


class Document(BaseModel):
    """A frozen JSON document in the object store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_bytes(self) -> bytes:
        """Returns the document as canonical JSON: equal documents are equal bytes."""
        return canonical_json(self.model_dump(mode="json"))

    def chosen(self) -> set[str]:
        """Returns the fields that were given and are not as they are anyway: a form and a whole dump give every one."""
        fields = type(self).model_fields
        return {name for name in self.model_fields_set if getattr(self, name) != fields[name].default}

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Reads a document.

        Raises:
            ContractError: the bytes are no such document.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise ContractError(f"expected a {cls.__name__}, found: {error}") from error


def check_file_name(name: str) -> str:
    """Returns the name of a file below a folder: relative, by slashes, and never outside of the folder.

    Names come from the store and are joined to prefixes and to folders of this machine.

    Raises:
        ValueError: a part is empty, `.` or `..`, or it holds a backslash or a NUL character.
    """
    if "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"expected the name of a file below a folder, e.g. rows/part-00000.parquet, found {name!r}")
    return name


FileName = Annotated[str, AfterValidator(check_file_name)]


class StoredFile(Document):
    """One file of a larger object; `name` is relative to it and leads nowhere else."""

    name: FileName
    size_bytes: int
    sha256: str


class Provenance(Document):
    """Who made an object, when and with what; stands beside it and enters no id."""

    created_at: str
    code_version: str
    dag_id: str | None = None
    dag_run_id: str | None = None
    versions: dict[str, str] = {}
