"""The address that a server or a page listens on."""

import socket


def bind(host: str, port: int) -> socket.socket:
    """Bind a socket that listens once the server runs; port 0 takes a free one.

    Raises:
        OSError: the address is in use or not of this machine, or there is no such port.
    """
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise OSError(
            f'cannot listen on {host}, port {port} ({reason}); choose with --host and --port'
        ) from error
