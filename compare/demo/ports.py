"""Find a port that no other program uses."""

from __future__ import annotations

import errno
import socket

from compare.errors import Misuse

PORTS_TO_TRY = 100


def find_free_port(host: str, port: int) -> int:
    """Return `port`, or the next one that is free on `host`; any free one if `port` is 0.

    Raises Misuse if there is none, or if this machine has no address `host`.
    """
    last = min(port + PORTS_TO_TRY - 1, 2**16 - 1) if port else 0
    for candidate in range(port, last + 1):
        try:
            with socket.create_server((host, candidate)) as server:
                return int(server.getsockname()[1])
        except OSError as error:
            reason = error.strerror
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise Misuse(f"--host {host} cannot be used: {reason}") from None
    raise Misuse(f"no free port from {port} to {last} on {host} ({reason}): use another --port")
