"""Requests that the pages of other sites make in a reader's browser.

A browser reaches what listens on loopback, and sends there what any page asks it to. Such a page
reads the answers if its own name is made to resolve to 127.0.0.1 (DNS rebinding): then the header
``Host`` has that name. Otherwise ``Origin`` has it.
"""

import ipaddress
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from mmseg_custom.web.asgi import Application, Receive, Scope, Send, refuse

LOCALHOST = 'localhost'


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    return ipaddress.ip_address(host).is_loopback if _is_address(host) else host == LOCALHOST


def names_of(host: str, more: Iterable[str] | None = None) -> frozenset[str] | None:
    """The names that a server has for browsers.

    Args:
        host: that it listens on.
        more: names of the machine, or of a proxy before it.

    Returns:
        None for all: other machines reach it, and nobody said by which names.
    """
    if not more and not is_loopback(host):
        return None
    return frozenset(name.lower() for name in (LOCALHOST, host, *(more or ())) if name)


class OwnSite:
    """ASGI middleware: 400 for a ``Host`` that is not of this server, 403 for an ``Origin``.

    Addresses in numbers are always among the hosts, since nobody can make them resolve to others;
    so are requests without the header, which no browser sends.

    Args:
        app: the ASGI application.
        names: of :func:`names_of`; None takes every ``Host``, and its own ``Origin`` alone.
    """

    def __init__(self, app: Application, names: Collection[str] | None) -> None:
        self.app, self.names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope['type'] != 'http':
            await self.app(scope, receive, send)
            return
        headers = {name: value.decode('latin-1') for name, value in scope['headers']}
        host, origin = _name(f'//{headers.get(b"host", "")}'), headers.get(b'origin')
        if not (host == '' or self.names is None or host in self.names or _is_address(host)):
            await refuse(
                send, 400, f'Host is {host!r}, no name of this service; see --allowed-host'
            )
        elif not (origin is None or _name(origin) in {host, *(self.names or ())}):
            await refuse(send, 403, f'a page of {origin!r} may not ask this service')
        else:
            await self.app(scope, receive, send)


def _name(address: str) -> str | None:
    """The host in an address, in small letters; '' where there is none, None where it is none."""
    try:
        return (urlsplit(address).hostname or '').removesuffix('.')
    except ValueError:
        return None


def _is_address(host: str | None) -> bool:
    try:
        return bool(ipaddress.ip_address(host or ''))
    except ValueError:
        return False
