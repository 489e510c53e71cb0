"""A task: queries over one gallery, and what must come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from training.data.samples import Sample
from training.evaluate.catalogs.catalog import Picture

Kind = Literal["picture", "text"]
Relevance = Literal["parent", "look", "category"]
Metric = Literal["recall_at_10", "capped_recall_at_10", "precision_at_10", "r_precision"]


@dataclass(frozen=True, slots=True)
class Query:
    """One question.

    Attributes:
        query_id: of the question, unique in its task.
        item: that it is about, for slices.
        parent_ids: products that must come back; empty where a look or a category is asked for.
        excluded: `entry_id` that is no answer, being the question itself.
        picture, text: the one that is asked with.
    """

    query_id: str
    item: Sample
    parent_ids: frozenset[str]
    excluded: str | None = None
    picture: Picture | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that can come back: a picture, or a text.

    Attributes:
        text: of a picture, what its item says of it; a text baseline searches there.
    """

    entry_id: str
    item: Sample
    parent_id: str
    picture: Picture | None = None
    text: str | None = None


@dataclass(frozen=True)
class Task:
    """Queries over one gallery.

    Attributes:
        name: such as `user_photo_to_studio`.
        question: in words.
        query_kind, entry_kind: what is asked with, and what comes back.
        queries, entries: the questions, and the gallery.
        relevance: an answer is right when it is of the same `parent`, of the same `look` (category and colour), or of
            the same `category`.
        metric: the task's main one.
        own_text_in_gallery: the texts that ask are texts of the gallery themselves, so a text search proves nothing.
    """

    name: str
    question: str
    query_kind: Kind
    entry_kind: Kind
    queries: tuple[Query, ...]
    entries: tuple[Entry, ...]
    relevance: Relevance = "parent"
    metric: Metric = "recall_at_10"
    own_text_in_gallery: bool = False


@dataclass(frozen=True)
class AbsentTask:
    """A task that a catalog cannot ask, and why."""

    name: str
    reason: str
