"""All connections of a worker: how many there are, what is done when there are too many, and who watches them."""

from __future__ import annotations

import asyncio
import resource
from collections import OrderedDict
from dataclasses import dataclass
from itertools import islice

from serving.connection import Connection

_WATCH_EVERY_S = 0.25
_OTHER_FILES = 256  # that a worker opens: indexes, pictures, metrics
_LOOKED_AT = 64  # the stalest; among them one waits for its client, or all wait for this worker


@dataclass(frozen=True)
class Limits:
    """What one client, and all together, may take.

    Attributes:
        head_timeout_s: the head of a request must be here within as many seconds.
        idle_timeout_s: a connection without a request is kept as long.
        write_timeout_s: a client that takes nothing of its answer for as long is cut off; so is one that takes less
            than `min_bytes_per_s` on the whole, with as many seconds' grace.
        linger_s: how long a connection that ends waits for the client to end it too.
        max_connections: one more ends the one on which nothing has moved for longest.
        max_unread_bytes: of answers that clients have not taken; above it those end that are stalest.
    """

    head_timeout_s: float = 10.0
    idle_timeout_s: float = 75.0
    write_timeout_s: float = 20.0
    min_bytes_per_s: float = 8_192.0
    linger_s: float = 2.0
    max_connections: int = 4_096
    max_unread_bytes: int = 256_000_000


class OpenConnections:
    """The connections of one worker, in the order in which something last moved on them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._all: OrderedDict[Connection, None] = OrderedDict()
        self._most = limits.max_connections

    def __len__(self) -> int:
        return len(self._all)

    def fit_to_open_files(self) -> None:
        """Raises this process's limit of open files as far as it may, and stays below it."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if hard != resource.RLIM_INFINITY:
            self._most = min(self._most, max(16, hard - _OTHER_FILES))

    def add(self, connection: Connection) -> None:
        """Takes a connection; where that is one too many, the stalest that waits for its client ends."""
        if len(self._all) >= self._most and self._all:
            stalest = list(islice(self._all, _LOOKED_AT))
            victim = next((one for one in stalest if not one.is_answering), stalest[0])
            self._all.pop(victim, None)
            victim.abort()
        self._all[connection] = None

    def discard(self, connection: Connection) -> None:
        """Forgets a connection that has ended."""
        self._all.pop(connection, None)

    def touch(self, connection: Connection) -> None:
        """Notes that something moved on a connection."""
        if connection in self._all:
            self._all.move_to_end(connection)

    async def watch(self) -> None:
        """Ends who is too slow, until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            now, unread = loop.time(), 0
            for connection in list(self._all):
                connection.watch(now)
                unread += connection.unread_bytes
            for connection in list(self._all):
                if unread <= self._limits.max_unread_bytes:
                    break
                if connection.unread_bytes:
                    unread -= connection.unread_bytes
                    connection.abort()

    async def end(self) -> None:
        """Ends all that wait for a next request, and returns when the others were answered and are gone."""
        while self._all:
            for connection in list(self._all):
                connection.end_if_idle()
            await asyncio.sleep(0.02)
