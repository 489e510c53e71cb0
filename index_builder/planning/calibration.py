"""What was measured of each family, read from `index_builder/calibration.json`, which `benchmarks/` writes anew."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from index_builder.planning.footprint import shard_footprint
from index_builder.recipes import recipe_of
from index_builder.recipes.choice import list_count
from vitrine.errors import SettingsError

CALIBRATION_FILE = Path(__file__).resolve().parent.parent / "calibration.json"


@dataclass(frozen=True)
class FamilyCalibration:
    """One family of recipes as it was measured at two sizes, smaller first."""

    name: str
    dimension: int
    sizes: tuple[dict[str, Any], dict[str, Any]]

    @property
    def list_sizes(self) -> tuple[float, ...]:
        """Quantiles of the sizes of inverted lists, as shares of their mean; none where there are no lists."""
        return tuple(self.sizes[1]["list_size_quantiles"])

    def list_bytes(self, dimension: int) -> float:
        """Returns anonymous bytes of a list beside its rows: what was measured beyond what can be computed.

        Allocations of a list cost the same in any dimension. Less than was computed corrects the space behind codes,
        and goes with their size.
        """
        larger = self.sizes[1]
        if not larger["lists"]:
            return 0.0
        recipe = recipe_of(larger["index_key"], items=larger["rows"], dimension=self.dimension)
        computed = shard_footprint(
            recipe, rows=larger["rows"], dimension=self.dimension, list_bytes=0.0, list_sizes=self.list_sizes
        )
        beyond = (larger["anonymous_bytes"] - computed.anonymous_bytes) / larger["lists"]
        return beyond if beyond > 0 else beyond * dimension / self.dimension

    @property
    def best_recall(self) -> float:
        """The highest recall that any setting reached at the larger size."""
        return max(point["recall"] for point in self.sizes[1]["curve"])

    def cpu_ms(self, *, recall: float, rows: int, dimension: int) -> float | None:
        """Returns CPU time of one query; None where the recall was not reached at the larger size.

        Between and beyond the two sizes it follows the power of the rows that joins them, from none to linear.
        """
        larger = _cheapest(self.sizes[1], recall)
        if larger is None:
            return None
        smaller = _cheapest(self.sizes[0], recall)
        exponent = 0.5 if smaller is None else _exponent(self.sizes, smaller, larger)
        if len(self.sizes[1]["curve"]) == 1:
            exponent = 1.0  # every row is compared
        grown = (rows / self.sizes[1]["rows"]) ** min(max(exponent, 0.0), 1.0)
        return larger * grown * dimension / self.dimension

    def build_cpu_s(self, *, rows: int, dimension: int, shards: int) -> float:
        """Returns CPU time of training, encoding and merging all shards."""
        per_shard = math.ceil(rows / shards)
        recipe = recipe_of(self.name, items=per_shard, dimension=dimension)
        small, large = self.sizes
        scale = dimension / self.dimension
        train = _training_cpu_s(small, large, sample_rows=min(recipe.train_rows, per_shard), rows=per_shard)
        merge = _exponent(self.sizes, small["merge_cpu_s"], large["merge_cpu_s"])
        merged = large["merge_cpu_s"] * (per_shard / large["rows"]) ** min(max(merge, 1.0), 1.5) * shards
        encode = _exponent(self.sizes, small["encode_cpu_s"], large["encode_cpu_s"])
        encoded = large["encode_cpu_s"] * (per_shard / large["rows"]) ** min(max(encode, 1.0), 1.5) * shards
        return scale * (train + merged + encoded)


def read_calibration(path: Path = CALIBRATION_FILE) -> dict[str, FamilyCalibration]:
    """Returns the calibration of each family.

    Raises:
        SettingsError: the file is missing or malformed.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: FamilyCalibration(name, found["dimension"], (sizes[0], sizes[1]))
            for name, sizes in found["families"].items()
        }
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise SettingsError(
            f"{path}: expected a calibration, found: {error!r}; run `python benchmarks/index_calibration.py`"
        ) from error


def _cheapest(size: dict[str, Any], recall: float) -> float | None:
    costs = [point["cpu_ms"] for point in size["curve"] if point["recall"] >= recall]
    return min(costs) if costs else None


def _exponent(sizes: tuple[dict[str, Any], dict[str, Any]], smaller: float, larger: float) -> float:
    grown = math.log(sizes[1]["rows"] / sizes[0]["rows"])
    return math.log(max(larger, 1e-6) / max(smaller, 1e-6)) / grown


def _training_work(sample_rows: int, lists: int) -> float:
    return sample_rows * max(lists, 1)


def _training_cpu_s(small: dict[str, Any], large: dict[str, Any], *, sample_rows: int, rows: int) -> float:
    """Returns training time: a part that stays, and one that grows with the rows of the sample times the lists."""
    before, after = (_training_work(size["sample_rows"], size["lists"]) for size in (small, large))
    if not large["lists"] or after <= before:
        return float(large["train_cpu_s"])
    slope = max(0.0, (large["train_cpu_s"] - small["train_cpu_s"]) / (after - before))
    return float(large["train_cpu_s"]) + slope * (_training_work(sample_rows, list_count(rows)) - after)
