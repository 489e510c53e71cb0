"""How an opened faiss index is asked: which search parameters it has, and the parameter object of one search.

Each search gets an object of its own, shared by nobody, so that concurrent searches with different filters never meet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import faiss

_WIDEST_EF_SEARCH = 2_048
# Far from a query scores lie closer together than coarse codes can tell apart: over rows in clusters the tuned k_factor
# found 0.92 of what a filter far away let through, twice as many candidates 0.96.
_FAR_K_FACTOR = 2
# Lists visited more for each list's worth of rows left out: of the next nearest 0.4 were found without, 0.9 so.
_LISTS_LEFT_OUT = 10
_DEFAULTS = {"ef_search": 64, "nprobe": 16, "k_factor": 4}


@dataclass(frozen=True)
class Walk:
    """What one search wants of a structure.

    Attributes:
        tuned: search parameters by name; what is left out takes a default.
        top_k: rows wanted.
        kept: share of the rows around the queries that the selector lets through: a search visits the more, the fewer
            it keeps.
        far: what is let through lies farther from the queries than what the parameters were tuned on.
        selector: a faiss IDSelector, or None for all rows.
        widest: visit all that the structure can visit.
        left_out: rows right around the queries that the selector keeps out, where the caller knows of them.
    """

    tuned: Mapping[str, int]
    top_k: int
    kept: float = 1.0
    far: bool = False
    selector: Any = None
    widest: bool = False
    left_out: int = 0

    def setting(self, name: str) -> int:
        """Returns a search parameter."""
        return int(self.tuned.get(name, _DEFAULTS[name]))

    @property
    def selecting(self) -> dict[str, Any]:
        """The selector as faiss takes it."""
        return {} if self.selector is None else {"sel": self.selector}


class SearchStructure(Protocol):
    """What an index lets a search choose.

    Attributes:
        parameter_names: of what a build tunes, e.g. `("nprobe", "k_factor")`; none where every row is compared.
        lists: inverted lists, 0 where there are none.
    """

    parameter_names: tuple[str, ...]
    lists: int

    def parameters(self, walk: Walk) -> Any:
        """Returns the faiss parameters of one search."""


def structure_of(index: Any) -> SearchStructure:
    """Returns the structure of a faiss index as `faiss.read_index` returned it, without refinement."""
    if isinstance(index, faiss.IndexPreTransform):
        return _Transformed(structure_of(faiss.downcast_index(index.index)))
    if isinstance(index, faiss.IndexHNSW):
        return _Graph()
    if isinstance(index, faiss.IndexIVF):
        return _Lists(int(index.nlist), items=int(index.ntotal))
    return _Comparison()


def refined(structure: SearchStructure) -> SearchStructure:
    """Returns the structure of an index whose candidates are compared again by a finer code."""
    return _Refined(structure)


class _Comparison:
    parameter_names: tuple[str, ...] = ()
    lists = 0

    def parameters(self, walk: Walk) -> Any:
        return faiss.SearchParameters(**walk.selecting)


class _Graph:
    parameter_names: tuple[str, ...] = ("ef_search",)
    lists = 0

    def parameters(self, walk: Walk) -> Any:
        ef_search = walk.setting("ef_search")
        # A walk that keeps one row in ten has to visit about ten times as many to find as many.
        widened = _WIDEST_EF_SEARCH if walk.widest else min(int(ef_search / walk.kept), _WIDEST_EF_SEARCH)
        # Rows that are left out take up places of the walk, and none of the answer; beyond them rows are missed more
        # often than right around the query.
        left_out = min(2 * walk.left_out, _WIDEST_EF_SEARCH * (8 if walk.widest else 1))
        return faiss.SearchParametersHNSW(  # type: ignore[attr-defined]
            efSearch=max(ef_search, widened, walk.top_k) + left_out, **walk.selecting
        )


class _Lists:
    parameter_names: tuple[str, ...] = ("nprobe",)

    def __init__(self, lists: int, *, items: int) -> None:
        self.lists = lists
        self._rows_a_list = max(1.0, items / lists)

    def parameters(self, walk: Walk) -> Any:
        # Rows that are left out fill lists that are visited in vain, and share them with rows that are not.
        in_vain = _LISTS_LEFT_OUT * math.ceil(walk.left_out / self._rows_a_list)
        nprobe = self.lists if walk.widest else min(int(walk.setting("nprobe") / walk.kept) + in_vain, self.lists)
        return faiss.SearchParametersIVF(nprobe=nprobe, **walk.selecting)  # type: ignore[call-arg]


class _Transformed:
    def __init__(self, inner: SearchStructure) -> None:
        self._inner = inner
        self.parameter_names = inner.parameter_names
        self.lists = inner.lists

    def parameters(self, walk: Walk) -> Any:
        return faiss.SearchParametersPreTransform(index_params=self._inner.parameters(walk))  # type: ignore[call-arg]


class _Refined:
    def __init__(self, inner: SearchStructure) -> None:
        self._inner = inner
        self.parameter_names = (*inner.parameter_names, "k_factor")
        self.lists = inner.lists

    def parameters(self, walk: Walk) -> Any:
        k_factor = walk.setting("k_factor") * (_FAR_K_FACTOR if walk.far else 1)
        candidates = self._inner.parameters(replace(walk, top_k=walk.top_k * k_factor))
        return faiss.IndexRefineSearchParameters(  # type: ignore[call-arg]
            k_factor=float(k_factor), base_index_params=candidates
        )
