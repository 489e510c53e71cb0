"""A decoder process: `-m vitrine.images.decoder SOCKET MEMORY PARENT NICENESS`, started by `decoder_process.py`.

Before each picture it sets a timer of its own CPU time, whose signal ends it whatever C code runs, and a limit on its
memory. It ends when the other side of the socket closes, or when its parent is another than the one that started it.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import select
import signal
import socket
import sys
from dataclasses import asdict
from typing import Any

from PIL import AvifImagePlugin

from vitrine.errors import ImageError
from vitrine.images.decoders.decoder_process import READY, Request
from vitrine.images.decoding import decode_here, header_here, too_much_memory

_LOOK_EVERY_S = 5.0
_AVIF_THREADS = 2  # each takes up to 80 MB of address space, and Pillow would start one for each core
_MESSAGE_BYTES = 4_096
_LONGEST_TEXT = 2_000


def main(arguments: list[str]) -> int:
    """Answers one request after the other."""
    descriptor, memory, parent, niceness = map(int, arguments)
    os.nice(niceness)
    AvifImagePlugin.DEFAULT_MAX_THREADS = _AVIF_THREADS
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the parent decides
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with socket.socket(fileno=descriptor) as requests:
        requests.send(READY)
        while True:
            readable, _, _ = select.select([requests], [], [], _LOOK_EVERY_S)
            if not readable:
                if os.getppid() != parent:
                    return 0  # a fork of the parent holds the other side open
                continue
            message = requests.recv(_MESSAGE_BYTES)
            if not message:
                return 0
            requests.send(json.dumps(_answer(Request(**json.loads(message)), memory)).encode())


def _answer(request: Request, memory: int) -> dict[str, Any]:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = request.memory_bytes if most == resource.RLIM_INFINITY else min(request.memory_bytes, most)
    data = os.pread(memory, request.size_bytes, 0)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (limit, most))
        signal.setitimer(signal.ITIMER_PROF, request.cpu_s)
        try:
            return _decoded(data, request, memory)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
    except ImageError as error:
        return {"reason": str(error.reason), "message": str(error)[:_LONGEST_TEXT]}
    except MemoryError:
        refused = too_much_memory()
        return {"reason": str(refused.reason), "message": str(refused)}


def _decoded(data: bytes, request: Request, memory: int) -> dict[str, Any]:
    if request.header_only:
        return {"header": asdict(header_here(data)), "sides": None}
    image = decode_here(data, max_pixels=request.max_pixels, shorter_side=request.shorter_side)
    pixels = image.tobytes("raw", "RGBX")
    if os.fstat(memory).st_size < len(pixels):
        os.ftruncate(memory, len(pixels))
    with mmap.mmap(memory, len(pixels)) as shared:
        shared[:] = pixels
    return {"header": None, "sides": image.size}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
