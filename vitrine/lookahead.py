"""Looking ahead in threads: results in order, and a bounded amount of work ahead of the one that is waited for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Begun = TypeVar("Begun")


def ahead(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], *, limit: int
) -> Iterator[Result]:
    """Yields the result for each item in order, with at most `limit` calls ahead of the one that is yielded.

    An error is raised in its result's place. Then, and when the reader stops early, calls that no thread has taken are
    dropped. A result is held nowhere once it is yielded.
    """

    def begin(item: Item) -> Future[Result]:
        return pool.submit(function, item)

    with closing(begun_ahead(begin, items, limit=limit, drop=Future.cancel)) as calls:
        yield from map(Future.result, calls)


def begun_ahead(
    begin: Callable[[Item], Begun], items: Iterable[Item], *, limit: int, drop: Callable[[Begun], object]
) -> Generator[Begun, None, None]:
    """Yields what `begin` returned for each item in order, with at most `limit` begun ahead of the one that is yielded.

    What was begun and is not yielded, because the reader stops early or the items fail, is handed to `drop`.
    """
    waiting: deque[Begun] = deque()
    source = iter(items)
    try:
        while True:
            waiting.extend(map(begin, islice(source, limit + 1 - len(waiting))))
            if not waiting:
                return
            yield waiting.popleft()
    finally:
        for begun in waiting:
            drop(begun)
