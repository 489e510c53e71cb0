"""Processes that decode pictures apart: what runs too long, takes too much memory or crashes ends with its process.

A thread cannot be ended, so a picture whose work cannot be told beforehand gets no thread of this process. A decoder
process is started when the first such picture comes and kept; it ends itself when its CPU time is up, when the
picture's memory is, and when the process that started it is gone.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vitrine.contracts.items import Reason
from vitrine.errors import DecodersBusyError, ImageError
from vitrine.images.decoders.decoder_process import Decoded, DecoderProcess, EndedError, Request

_BASE_MEMORY_BYTES = 768_000_000  # the interpreter's address space and a format's own tables
_PIXEL_MEMORY_BYTES = 24  # planes, layers and copies, by format: AVIF takes 17 of a picture with transparency
_PATIENCE = 10  # times that a picture may wait, when nobody waits for it and its process has hardly run
_ATTEMPTS = 2


class Decoders:
    """Decoder processes of this process.

    Args:
        processes: at most as many run at once.
        waiting: at most as many pictures wait for one; None: any number.
        niceness: added to theirs, so that they give way to whoever else wants the processor.
    """

    def __init__(self, *, processes: int = 2, waiting: int | None = None, niceness: int = 0) -> None:
        self._limit = processes
        self._patience = _PATIENCE if waiting is None else 1
        self._most = None if waiting is None else processes + waiting
        self._niceness = niceness
        self._idle: list[DecoderProcess] = []
        self._begin()
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._forget)

    def decode(
        self,
        data: bytes,
        *,
        max_pixels: int,
        cpu_s: float,
        shorter_side: int | None = None,
        header_only: bool = False,
    ) -> Decoded:
        """Decodes a picture in a process of its own.

        Raises:
            ImageError: what the decoder says; or it took more than `cpu_s` or its memory, or crashed.
            DecodersBusyError: too many pictures wait already, no process can be started, or each was ended or held up
                by somebody else.
        """
        request = Request(
            size_bytes=len(data),
            max_pixels=max_pixels,
            shorter_side=shorter_side,
            header_only=header_only,
            cpu_s=cpu_s,
            memory_bytes=_BASE_MEMORY_BYTES + _PIXEL_MEMORY_BYTES * max_pixels + 4 * len(data),
        )
        with self._place():
            for _ in range(_ATTEMPTS):
                process = self._take()
                try:
                    answer = process.ask(request, data, patience=self._patience)
                except EndedError as ended:
                    process.end()
                    if not ended.by_itself:
                        raise _refusal(ended, request) from None
                    continue  # somebody else ended it or held it up, or it was ended between two pictures
                except ImageError:
                    self._give_back(process)
                    raise
                except BaseException:
                    process.end()
                    raise
                self._give_back(process)
                return answer
        raise DecodersBusyError(
            f"{_ATTEMPTS} decoder processes, one after the other, were ended from outside or got too little processor "
            "time to decode a picture; look for signals, for a lack of memory and for what else this machine does, and "
            "try again"
        )

    def close(self) -> None:
        """Ends the idle processes."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            process.end()

    @contextmanager
    def _place(self) -> Iterator[None]:
        with self._lock:
            if self._most is not None and self._pending >= self._most:
                raise DecodersBusyError(
                    "too many pictures of rare kinds are being decoded; try again in a moment, or send a JPEG"
                )
            self._pending += 1
        try:
            with self._processes:
                yield
        finally:
            with self._lock:
                self._pending -= 1

    def _take(self) -> DecoderProcess:
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.is_alive():
                    return process
                process.end()
        return DecoderProcess(self._niceness)

    def _give_back(self, process: DecoderProcess) -> None:
        with self._lock:
            self._idle.append(process)

    def _forget(self) -> None:
        """In a fork of this process: the decoders are the parent's, and so is whoever held a lock."""
        for process in self._idle:
            process.abandon()
        self._idle = []
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._processes = threading.BoundedSemaphore(self._limit)
        self._pending = 0


def _refusal(ended: EndedError, request: Request) -> ImageError:
    """Returns what an ended decoder says about the picture."""
    if ended.code in (None, -signal.SIGPROF, -signal.SIGXCPU):
        return ImageError(
            f"expected a picture that decodes in {request.cpu_s:g} s of processor time, found one that takes longer; "
            "save it again as a plain JPEG",
            reason=Reason.IMAGE_TOO_MUCH_WORK,
        )
    code = ended.code or 0
    what = signal.Signals(-code).name if -code in set(signal.Signals) else f"status {code}"
    return ImageError(
        f"the decoder crashed on these {request.size_bytes:,} bytes ({what}); save the picture again as a plain JPEG",
        reason=Reason.IMAGE_UNDECODABLE,
    )
