"""One decoder process, as whoever started it sees it, and the memory that both share."""

from __future__ import annotations

import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from vitrine.contracts.items import Reason
from vitrine.errors import DecodersBusyError, ImageError
from vitrine.processes.table import cpu_s_in, stat_fields

READY = b"ready"
"""What a decoder process says first."""

_START_S = 300.0
_WALL_SHARE = 10.0  # a busy machine gives a process a tenth of its time
_LEAST_WALL_S = 10.0
_LOOK_S = 1.0
_HELD_LOOKS = 3  # one after the other, at which a signal (SIGSTOP) held the process
_LATE_S = 1.0  # of CPU time by which the process's own timer may come too late
_KEPT_BYTES = 16_000_000
_MESSAGE_BYTES = 65_536
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


class EndedError(Exception):
    """A decoder process ended before it answered.

    Attributes:
        code: its status, or None when it was ended because it did not answer.
        hardly_ran: it was ended, and had not had the CPU time that its picture may take.
    """

    def __init__(self, code: int | None, *, hardly_ran: bool = False) -> None:
        super().__init__(str(code))
        self.code = code
        self.hardly_ran = hardly_ran

    @property
    def by_itself(self) -> bool:
        """Whether that has nothing to do with the picture."""
        killers = (0, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
        return self.hardly_ran or self.code in killers


class DecoderProcess:
    """One process, and the memory that is shared with it.

    Raises:
        DecodersBusyError: it does not start, which is no picture's fault.
    """

    def __init__(self, niceness: int) -> None:
        self._memory = os.memfd_create("vitrine-picture")
        own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = own
        # No secrets: what reads strangers' files needs none.
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        environment |= {
            "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
            "OPENBLAS_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "2",
        }
        descriptors = (other.fileno(), self._memory)
        with other:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",  # what lies in the working folder is nobody's module
                    "-m",
                    "vitrine.images.decoder",
                    *map(str, (*descriptors, os.getpid(), niceness)),
                ],
                pass_fds=descriptors,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

        self._wait_ready()

    def _wait_ready(self) -> None:
        self._socket.settimeout(_START_S)
        try:
            ready = self._socket.recv(_MESSAGE_BYTES)
        except OSError:
            ready = b""
        if ready != READY:
            self.end()
            raise DecodersBusyError(
                f"a decoder process of {sys.executable} did not start (status {self._process.returncode}); run "
                "`python -m vitrine.images.decoder` there to see why: it should ask for arguments"
            )

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: Request, data: bytes, *, patience: int) -> Decoded:
        """Sends a picture and waits for the answer: `patience` times as long as its CPU time may take at most.

        A process that a signal (SIGSTOP) holds is waited for some seconds.

        Raises:
            ImageError: the answer is one.
            EndedError: the process ended, or was ended because it did not answer.
        """
        if os.fstat(self._memory).st_size < len(data):
            os.ftruncate(self._memory, len(data))
        os.pwrite(self._memory, data, 0)
        self._socket.settimeout(_LOOK_S)
        try:
            began_s = cpu_s_in(self._stat())
            self._socket.send(json.dumps(asdict(request)).encode())
            answer = self._answer(request, began_s=began_s, patience=patience)
        except OSError as error:
            raise EndedError(self._process.wait()) from error
        if not answer:
            raise EndedError(self._process.wait())
        return self._read(json.loads(answer))

    def _answer(self, request: Request, *, began_s: float, patience: int) -> bytes:
        deadline = time.monotonic() + patience * max(_LEAST_WALL_S, request.cpu_s * _WALL_SHARE)
        held_looks, used_s = 0, 0.0
        while time.monotonic() < deadline and held_looks < _HELD_LOOKS and used_s < request.cpu_s + _LATE_S:
            try:
                return self._socket.recv(_MESSAGE_BYTES)
            except TimeoutError:
                fields = self._stat()
                used_s = cpu_s_in(fields) - began_s
                held_looks = held_looks + 1 if fields[0] == "T" else 0
        self._process.kill()
        self._process.wait()
        raise EndedError(None, hardly_ran=used_s < request.cpu_s)

    def _stat(self) -> list[str]:
        return stat_fields(Path(f"/proc/{self._process.pid}/stat"))

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
