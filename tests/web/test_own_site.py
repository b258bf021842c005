"""Requests of other sites' pages, as browsers make them."""

import asyncio
import json

import pytest

from mmseg_custom.web.own_site import OwnSite, is_loopback, names_of

LOOPBACK = names_of('127.0.0.1', ['seg.example.org'])


def ask(names, host: str | None, origin: str | None = None) -> tuple[int, dict, str]:
    """Status, headers and reason."""
    sent = []

    async def app(scope, receive, send) -> None:
        await send({'type': 'http.response.start', 'status': 200, 'headers': []})
        await send({'type': 'http.response.body', 'body': b'{"reason": ""}'})

    async def send(message) -> None:
        sent.append(message)

    given = ((b'host', host), (b'origin', origin))
    headers = [(name, value.encode('latin-1')) for name, value in given if value is not None]
    asyncio.run(OwnSite(app, names)({'type': 'http', 'headers': headers}, None, send))
    start, body = sent
    return start['status'], dict(start['headers']), json.loads(body['body'])['reason']


NAMES = ['localhost:8000', 'LOCALHOST.', 'seg.example.org', 'Seg.Example.org:443']
ADDRESSES = ['127.0.0.1:8000', '127.0.0.1', '[::1]:80', '10.0.0.7']


@pytest.mark.parametrize('host', [*NAMES, *ADDRESSES, None])
def test_own_names_and_addresses(host):
    assert ask(LOOPBACK, host)[0] == 200


@pytest.mark.parametrize(
    'host', ['evil.example', 'localhost.evil.example:8000', '127.0.0.1.evil.example', '[::1', 'a b']
)
def test_a_name_that_was_made_to_resolve_to_this_machine(host):
    status, headers, reason = ask(LOOPBACK, host)
    assert status == 400 and headers[b'connection'] == b'close'
    assert reason.startswith('Host is ') and reason.endswith('; see --allowed-host')
    assert ask(names_of('0.0.0.0'), host)[0] == 200
    assert ask(names_of('0.0.0.0', ['seg.example.org']), host)[0] == 400


@pytest.mark.parametrize(
    ('host', 'origin', 'names', 'status'),
    [
        ('127.0.0.1:8000', 'http://127.0.0.1:8000', LOOPBACK, 200),
        ('127.0.0.1:8000', 'https://seg.example.org', LOOPBACK, 200),
        ('127.0.0.1:8000', 'http://evil.example', LOOPBACK, 403),
        ('127.0.0.1:8000', 'http://6.6.6.6', LOOPBACK, 403),
        ('127.0.0.1:8000', 'null', LOOPBACK, 403),
        ('127.0.0.1:8000', 'http://[', LOOPBACK, 403),
        ('box.lan:8000', 'http://box.lan:8000', None, 200),
        ('box.lan:8000', 'http://evil.example', None, 403),
        ('box.lan:8000', 'null', None, 403),
    ],
)
def test_where_a_page_comes_from(host, origin, names, status):
    found, headers, _ = ask(names, host, origin)
    assert found == status and not [name for name in headers if name.startswith(b'access-')]


def test_names():
    assert names_of('127.0.0.1') == {'localhost', '127.0.0.1'}
    assert names_of('0.0.0.0') is names_of('box.lan', []) is None
    assert names_of('', ['Box.lan']) == {'localhost', 'box.lan'}


def test_who_reaches_an_address():
    assert all(map(is_loopback, ('127.0.0.1', '127.1.2.3', '::1', 'localhost')))
    assert not any(map(is_loopback, ('0.0.0.0', '::', '10.0.0.1', 'example.org', '')))
