"""Looking ahead in threads: order, the bound, errors in their place, and nothing left behind."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.lookahead import ahead, begun_ahead


@given(n=st.integers(0, 30), limit=st.integers(0, 40), threads=st.integers(1, 4))
def test_results_come_in_order_whatever_the_bound(n: int, limit: int, threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        found = list(ahead(pool, lambda item: item * item, range(n), limit=limit))

    assert found == [item * item for item in range(n)]


def test_a_call_that_takes_long_is_waited_for_and_the_later_ones_do_not_overtake_it() -> None:
    later = threading.Event()

    def call(item: int) -> int:
        if item == 0:
            assert later.wait(30)  # the first ends after the second
        else:
            later.set()
        return item

    with ThreadPoolExecutor(2) as pool:
        found = list(ahead(pool, call, range(3), limit=1))

    assert found == [0, 1, 2]


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_no_more_items_are_taken_than_the_one_that_is_yielded_and_the_bound(limit: int) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(10):
            taken.append(item)
            yield item

    with ThreadPoolExecutor(8) as pool:
        most = [len(taken) - place for place, _ in enumerate(ahead(pool, str, items(), limit=limit), start=1)]

    assert most[0] == limit
    assert max(most) == limit
    assert most[-1] == 0


def test_an_error_surfaces_in_its_place() -> None:
    found: list[int] = []

    with ThreadPoolExecutor(4) as pool, pytest.raises(ZeroDivisionError):
        found.extend(ahead(pool, lambda item: 12 // (3 - item), range(10), limit=8))

    assert found == [4, 6, 12]


def test_an_error_drops_the_calls_that_no_thread_has_taken() -> None:
    called: list[int] = []
    fail, seen = threading.Event(), threading.Event()

    def call(item: int) -> None:
        called.append(item)
        if item == 0:
            assert fail.wait(30)
            raise ValueError(item)
        assert seen.wait(30)

    def items() -> Iterator[int]:
        yield from range(5)
        fail.set()

    with ThreadPoolExecutor(1) as pool:
        results = ahead(pool, call, items(), limit=5)
        with pytest.raises(ValueError, match="0"):
            next(results)  # the other four wait behind it for the only thread
        seen.set()

    assert called in ([0], [0, 1])  # the thread may have taken one more before the error was seen


def test_an_error_of_the_items_drops_what_was_begun() -> None:
    dropped: list[int] = []

    def items() -> Iterator[int]:
        yield from range(3)
        raise ValueError("the fourth")

    with pytest.raises(ValueError, match="the fourth"):
        list(begun_ahead(lambda item: item, items(), limit=5, drop=dropped.append))

    assert dropped == [0, 1, 2]


def test_a_reader_that_stops_early_leaves_no_thread_running() -> None:
    called: list[int] = []

    with ThreadPoolExecutor(2, thread_name_prefix="left behind") as pool:
        for _ in islice(ahead(pool, called.append, count(), limit=3), 2):
            pass

    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("left behind")]
    assert len(called) <= 5  # those that were yielded, and at most three ahead


def test_a_reader_that_stops_early_drops_what_was_begun_in_order() -> None:
    dropped: list[int] = []

    begun = begun_ahead(lambda item: item, count(), limit=3, drop=dropped.append)
    assert next(begun) == 0
    begun.close()

    assert dropped == [1, 2, 3]


def test_a_result_is_held_nowhere_once_the_reader_lets_go_of_it() -> None:
    class Result:
        pass

    futures: list[weakref.ref[Future[Result]]] = []

    class Pool(ThreadPoolExecutor):
        def submit(self, *call: object, **named: object) -> Future[Result]:  # type: ignore[override]
            future = super().submit(*call, **named)  # type: ignore[arg-type]
            futures.append(weakref.ref(future))
            return future

    with Pool(1) as pool:
        results = ahead(pool, lambda _: Result(), range(3), limit=0)
        held = weakref.ref(next(results))

        assert held() is None
        assert futures[0]() is None
        assert len(list(results)) == 2
