"""Processes that decode pictures apart: what runs too long, takes too much memory or crashes ends with its process.

A thread cannot be ended, so a picture whose work cannot be told beforehand gets no thread of this process. A decoder
process is started when the first such picture comes and kept; it ends itself when its CPU time is up, when the
picture's memory is, and when the process that started it is gone.
"""

from __future__ import annotations

import atexit
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from vitrine.contracts.items import Reason
from vitrine.errors import DecodersBusyError, ImageError

_BASE_MEMORY_BYTES = 768_000_000  # the interpreter's address space and a format's own tables
_PIXEL_MEMORY_BYTES = 24  # planes, layers and copies, by format: AVIF takes 17 of a picture with transparency
_WALL_SHARE = 10.0  # a busy machine gives a process a tenth of its time
_PATIENCE = 10  # such times, for a picture that nobody waits for, while its process has hardly run
_TICKS = os.sysconf("SC_CLK_TCK")
_KEPT_BYTES = 16_000_000
_MESSAGE_BYTES = 65_536
_ATTEMPTS = 2
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR")


@dataclass(frozen=True)
class Request:
    """What a decoder process is asked; the bytes lie in the memory that both share."""

    size_bytes: int
    max_pixels: int
    shorter_side: int | None
    header_only: bool
    cpu_s: float
    memory_bytes: int


@dataclass(frozen=True)
class Decoded:
    """What a decoder process answers: fields of the header when only those were asked, or the picture in RGB."""

    header: dict[str, Any] | None
    image: Image.Image | None


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
        self._idle: list[_DecoderProcess] = []
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
            DecodersBusyError: too many pictures wait already.
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
            for attempt in range(_ATTEMPTS):
                process = self._take()
                try:
                    answer = process.ask(request, data, patience=self._patience)
                except _EndedError as ended:
                    process.end()
                    if ended.by_itself and attempt + 1 < _ATTEMPTS:
                        continue  # somebody else ended it, or it was ended between two pictures
                    raise _refusal(ended, request) from None
                except ImageError:
                    self._give_back(process)
                    raise
                except BaseException:
                    process.end()
                    raise
                self._give_back(process)
                return answer
        raise AssertionError("unreachable")

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
                    "too many pictures of rare kinds are being decoded; ask again in a moment, or send a JPEG"
                )
            self._pending += 1
        try:
            with self._processes:
                yield
        finally:
            with self._lock:
                self._pending -= 1

    def _take(self) -> _DecoderProcess:
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.is_alive():
                    return process
                process.end()
        return _DecoderProcess(self._niceness)

    def _give_back(self, process: _DecoderProcess) -> None:
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


class _EndedError(Exception):
    """A decoder process ended before it answered."""

    def __init__(self, code: int | None) -> None:
        super().__init__(str(code))
        self.code = code

    @property
    def by_itself(self) -> bool:
        """Whether that may have nothing to do with the picture."""
        return self.code in (0, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)


class _DecoderProcess:
    """One process, and the memory that is shared with it."""

    def __init__(self, niceness: int) -> None:
        self._memory = os.memfd_create("vitrine-picture")
        own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = own
        # No secrets: what reads strangers' files needs none.
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        environment |= {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "OPENBLAS_NUM_THREADS": "1"}
        descriptors = (other.fileno(), self._memory)
        with other:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",  # what lies in the working folder is nobody's module
                    "-m",
                    "vitrine.picture_work.decoder",
                    *map(str, (*descriptors, os.getpid(), niceness)),
                ],
                pass_fds=descriptors,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: Request, data: bytes, *, patience: int) -> Decoded:
        """Sends a picture and waits for the answer: `patience` times as long as its CPU time may take at most.

        Raises:
            ImageError: the answer is one.
            _EndedError: the process ended, or was ended because it did not answer.
        """
        if os.fstat(self._memory).st_size < len(data):
            os.ftruncate(self._memory, len(data))
        os.pwrite(self._memory, data, 0)
        self._socket.settimeout(max(10.0, request.cpu_s * _WALL_SHARE))
        began_s = self._cpu_s()
        try:
            self._socket.send(json.dumps(asdict(request)).encode())
            answer = self._answer(request, began_s=began_s, patience=patience)
        except OSError as error:
            raise _EndedError(self._process.wait()) from error
        if not answer:
            raise _EndedError(self._process.wait())
        return self._read(json.loads(answer))

    def _answer(self, request: Request, *, began_s: float, patience: int) -> bytes:
        for _ in range(patience):
            try:
                return self._socket.recv(_MESSAGE_BYTES)
            except TimeoutError:
                if self._cpu_s() - began_s > request.cpu_s:
                    break
        self._process.kill()
        self._process.wait()
        raise _EndedError(None)

    def _cpu_s(self) -> float:
        """CPU seconds that the process has taken."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def _read(self, answer: dict[str, Any]) -> Decoded:
        if "reason" in answer:
            raise ImageError(answer["message"], reason=Reason(answer["reason"]))
        image = None
        if answer["sides"] is not None:
            width, height = answer["sides"]
            with (
                mmap.mmap(self._memory, width * height * 4, prot=mmap.PROT_READ) as shared,
                memoryview(shared) as pixels,
            ):
                image = Image.frombytes("RGB", (width, height), pixels, "raw", "RGBX")
            if width * height * 4 > _KEPT_BYTES:
                os.ftruncate(self._memory, _KEPT_BYTES)
        return Decoded(answer["header"], image)

    def end(self) -> None:
        """Ends the process, whatever it does."""
        self.abandon()
        if self._process.poll() is None:
            self._process.kill()
            with suppress(OSError):
                self._process.wait()

    def abandon(self) -> None:
        """Closes this process's side."""
        self._socket.close()
        with suppress(OSError):
            os.close(self._memory)


def _refusal(ended: _EndedError, request: Request) -> ImageError:
    """Returns what an ended decoder says about the picture."""
    if ended.code in (None, -signal.SIGPROF, -signal.SIGXCPU):
        return ImageError(
            f"expected a picture that decodes in {request.cpu_s:g} s of processor time, found one that takes longer; "
            "save it anew, as a plain JPEG",
            reason=Reason.IMAGE_TOO_MUCH_WORK,
        )
    code = ended.code or 0
    what = signal.Signals(-code).name if -code in set(signal.Signals) else f"status {code}"
    return ImageError(
        f"the decoder crashed on these {request.size_bytes:,} bytes ({what}); save the picture anew, as a plain JPEG",
        reason=Reason.IMAGE_UNDECODABLE,
    )
