"""Bodies that are too long for a page."""

import asyncio

import pytest

from mmseg_custom.web.body_limit import FORM_BYTES, BodyLimit


async def count_body(scope, receive, send) -> None:
    """An application that reads everything and says how much it was."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message['body']), message.get('more_body', False)
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': str(size).encode()})


def ask(chunks: list[bytes], length: bytes | None) -> tuple[int, bytes, int]:
    """Status, answer, and the number of chunks that were taken."""
    sent, taken = [], []
    waiting = [
        {'type': 'http.request', 'body': chunk, 'more_body': number + 1 < len(chunks)}
        for number, chunk in enumerate(chunks)
    ]

    async def receive():
        taken.append(waiting.pop(0))
        return taken[-1]

    async def send(message):
        sent.append(message)

    headers = [] if length is None else [(b'content-length', length)]
    scope = {'type': 'http', 'headers': headers}
    asyncio.run(BodyLimit(count_body, 1000)(scope, receive, send))
    start, body = sent
    return start['status'], body['body'], len(taken)


def test_a_body_within_the_limit_arrives():
    most = 1000 + FORM_BYTES
    assert ask([b'x' * 1000, b'x' * FORM_BYTES], None) == (200, str(most).encode(), 2)


@pytest.mark.parametrize('length', [b'2147483648', b'-1', b'many', b''])
def test_a_length_that_is_too_large_or_none_is_refused_unread(length):
    status, answer, taken = ask([b'x'], length)
    assert (status, taken) == (413, 0) and b'more than 66536 bytes' in answer


def test_a_body_that_goes_on_is_refused_where_the_limit_is():
    status, _, taken = ask([b'x' * 40_000] * 50, None)
    assert (status, taken) == (413, 2)
