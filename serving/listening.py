"""The listening socket of a replica: opened once, lent by every worker to the agent that comes after its own.

A connection that waits in the socket's queue is answered by whichever process accepts next, so as long as one process
holds the socket nothing is refused.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitrine.errors import SettingsError

log = logging.getLogger("vitrine.serving")

BACKLOG = 1024
_LEND_TIMEOUT_S = 1.0
_PEER = struct.Struct("3i")  # struct ucred: process, user, group


def listen(host: str, port: int) -> socket.socket:
    """Opens the socket.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    listening: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it. Without it half of an answer waits for the client's delayed ACK: 40 ms.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        if listening is not None:
            listening.close()
        raise SettingsError(
            f"the search tier cannot listen on {host}:{port} ({error.strerror}); end what holds the port, "
            "or set VITRINE_SEARCH_PORT to another; VITRINE_SEARCH_HOST must be an address of this machine"
        ) from error
    listening.setblocking(False)
    return listening


def listens_on(listening: socket.socket, host: str, port: int) -> bool:
    """Tells whether a socket listens on this very address."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return listening.family == family and listening.getsockname()[:2] == address[:2]
    except OSError:
        return False


def is_loopback(host: str) -> bool:
    """Tells whether a host's name or address means this machine to everybody."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def lend(listening: socket.socket, path: Path) -> None:
    """Gives a copy of the socket to every process of this user that connects to `path`, in a thread, for ever."""
    path.unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _short(path) as name:
        door.bind(name)
    path.chmod(0o600)
    door.listen(4)
    threading.Thread(target=_lend, args=(door, listening), name="lend-socket", daemon=True).start()


def borrow(path: Path) -> socket.socket | None:
    """Returns the socket that a worker lends at `path`, or None when nobody answers there soon."""
    try:
        with _short(path) as name, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(_LEND_TIMEOUT_S)
            asking.connect(name)
            _, descriptors, _, _ = socket.recv_fds(asking, 1, 1)
    except OSError:
        return None
    if not descriptors:
        return None
    os.set_inheritable(descriptors[0], False)
    return socket.socket(fileno=descriptors[0])


def _lend(door: socket.socket, listening: socket.socket) -> None:
    while True:
        try:
            asking, _ = door.accept()
            with asking:
                asking.settimeout(_LEND_TIMEOUT_S)
                peer = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
                if _PEER.unpack(peer)[1] == os.geteuid():
                    socket.send_fds(asking, [b"1"], [listening.fileno()])
        except OSError as error:  # whoever asked is gone, or no descriptor is left: the next one may be luckier
            log.warning("the listening socket could not be lent: %s", error)
            threading.Event().wait(0.1)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Yields a name of a Unix socket's path that fits into its 108 bytes, whatever the folder's name is."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
