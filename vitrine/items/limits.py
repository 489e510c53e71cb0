"""How much an items file may claim or swell to before it is refused: a small file must not cost hours or all memory."""

from __future__ import annotations

from dataclasses import dataclass

from vitrine.settings import Settings


@dataclass(frozen=True)
class ReadingLimits:
    """Limits of reading items files; the settings of the same names say what each is for."""

    items_max_rows: int
    items_max_row_group_rows: int
    items_max_inflated_bytes: int
    csv_max_record_lines: int

    @classmethod
    def of(cls, settings: Settings) -> ReadingLimits:
        """Returns the limits of this platform."""
        return cls(
            items_max_rows=settings.items_max_rows,
            items_max_row_group_rows=settings.items_max_row_group_rows,
            items_max_inflated_bytes=settings.items_max_inflated_bytes,
            csv_max_record_lines=settings.csv_max_record_lines,
        )
