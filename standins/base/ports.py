"""The port that a stand-in listens on."""

import errno
import socket


class PortTakenError(OSError):
    """The server cannot listen there; the sentence says what to do."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes any free one. Raises PortTakenError."""
    try:
        return socket.create_server((host, port))
    except OSError as error:
        if error.errno not in {errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL}:
            raise
        raise PortTakenError(
            error.errno,
            f"{host}:{port} cannot be listened on: {error.strerror}. "
            "Stop the program that uses it, or choose another port (0 takes any free one).",
        ) from error
