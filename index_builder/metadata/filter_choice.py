"""Which columns of a head can be filtered on: the named ones that hold values, and scalar attributes.

Seen in pieces, in order of rows: what is held is the distinct values of categories, up to a bound.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from index_builder.metadata.attributes import Attributes, Scalar, attribute_text
from vitrine.item_table.columns import ColumnKind

NAMED_COLUMNS: dict[str, ColumnKind] = {
    "category": "category",
    "brand": "category",
    "color": "category",
    "parent_id": "category",
    "price": "number",
    "in_stock": "boolean",
    "created_at": "time",
}
ATTRIBUTE_PREFIX = "attributes."
_MOST_ATTRIBUTES = 64
_MOST_DISTINCT = 100_000  # a dictionary of more is no category but a text
# Of attributes' names that are counted, and of values that all of them may hold together: above either, names that come
# later and values of the rarest names are given up. Some 100 bytes each.
_MOST_NAMES = 20_000
_MOST_VALUES = 8_000_000


@dataclass(frozen=True)
class ChosenColumn:
    """A column that will be filtered on; `dictionary` of a category, sorted."""

    name: str
    kind: ColumnKind
    dictionary: tuple[str, ...] = ()


class ColumnChoice:
    """Looks at a head's rows and says which columns can be filtered on.

    A column without any value is left out, and so is a category of more than 100,000 values. Attributes become
    `attributes.<name>`: the 64 that most items have. One that is always a number is a number, always true or false a
    boolean, otherwise its values are a category; lists and objects are left out.
    """

    def __init__(self) -> None:
        self._present: Counter[str] = Counter()
        self._distinct: dict[str, set[str] | None] = {
            name: set() for name, kind in NAMED_COLUMNS.items() if kind == "category"
        }
        self._attributes: dict[str, _Attribute] = {}
        self._values_held = 0

    def see(self, table: pa.Table, attributes: Attributes) -> None:
        """Looks at the next rows and their parsed attributes."""
        for name in NAMED_COLUMNS:
            self._present[name] += table.num_rows - table[name].null_count
        for name, distinct in self._distinct.items():
            if distinct is not None:
                distinct.update(pc.unique(table[name]).drop_null().to_pylist())
                if len(distinct) > _MOST_DISTINCT:
                    self._distinct[name] = None
        row_counts = attributes.row_counts()
        for name, (places, values) in attributes.values.items():
            self._see_attribute(name, values, int(row_counts[places].sum()))

    def columns(self) -> list[ChosenColumn]:
        """Returns the chosen columns, sorted by name."""
        chosen = []
        for name, kind in NAMED_COLUMNS.items():
            distinct = self._distinct.get(name, set())
            if self._present[name] and distinct is not None:
                chosen.append(ChosenColumn(name, kind, tuple(sorted(distinct))))
        counts = {name: attribute.count for name, attribute in self._attributes.items()}
        for name in sorted(counts, key=lambda name: (-counts[name], name))[:_MOST_ATTRIBUTES]:
            attribute = self._attributes[name]
            if attribute.kind != "category":
                chosen.append(ChosenColumn(ATTRIBUTE_PREFIX + name, attribute.kind))
            elif attribute.texts is not None:
                chosen.append(ChosenColumn(ATTRIBUTE_PREFIX + name, "category", tuple(sorted(attribute.texts))))
        return sorted(chosen, key=lambda column: column.name)

    def _see_attribute(self, name: str, values: list[Scalar], rows: int) -> None:
        attribute = self._attributes.get(name)
        if attribute is None:
            if len(self._attributes) >= _MOST_NAMES:
                return
            attribute = self._attributes[name] = _Attribute()
        attribute.count += rows
        attribute.types.update(map(type, values))
        if attribute.texts is None:
            return
        held = len(attribute.texts)
        attribute.texts.update(map(attribute_text, values))
        self._values_held += len(attribute.texts) - held
        if len(attribute.texts) > _MOST_DISTINCT:
            self._give_up(attribute)
        while self._values_held > _MOST_VALUES:
            holding = [one for one in self._attributes.values() if one.texts]
            self._give_up(min(holding, key=lambda one: one.count))

    def _give_up(self, attribute: _Attribute) -> None:
        self._values_held -= len(attribute.texts or ())
        attribute.texts = None


class _Attribute:
    """What was seen of one attribute; `texts` is None once it holds too many values to be a category."""

    def __init__(self) -> None:
        self.count = 0
        self.types: set[type] = set()
        self.texts: set[str] | None = set()

    @property
    def kind(self) -> ColumnKind:
        return "boolean" if self.types <= {bool} else "number" if self.types <= {int, float} else "category"
