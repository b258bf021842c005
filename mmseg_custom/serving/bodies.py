"""The body of a request: read within its limits, and never through a file."""

import asyncio
import time

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from mmseg_custom.serving.limits import Limits, RefusedError, too_many_bytes

FORM = 'multipart/form-data'
# A form is parsed by Python code: after so many bytes the time is looked at.
PIECE = 64 * 2**10
# How long, and how much, a client that is refused may go on sending.
LINGER_SECONDS, LINGER_BYTES = 2.0, 32 * 2**20


async def read_body(request: Request, limits: Limits) -> bytes:
    """Read a body into memory.

    Raises:
        RefusedError: 400 the client left, 408 it does not arrive, 413 it is too long; told by the
            header or, where that is missing or wrong, as soon as it is.
    """
    if int(request.headers.get('content-length', 0)) > limits.max_bytes:
        raise too_many_bytes(limits)
    chunks, size = [], 0
    try:
        async with asyncio.timeout(limits.read_seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.max_bytes:
                    raise too_many_bytes(limits)
                chunks.append(chunk)
    except TimeoutError as error:
        raise RefusedError(
            408, f'the body did not arrive within {limits.read_seconds:g} s ({size} bytes did)'
        ) from error
    except ClientDisconnect as error:
        raise RefusedError(400, f'the client left after {size} bytes of the body') from error
    return b''.join(chunks)


def picture_of(content_type: str, body: bytes, deadline: float) -> bytes:
    """Find the picture's file in a body: the body itself, or the one part of a form.

    Names of files and fields are not looked at.

    Args:
        content_type: the header; empty where there is none.
        body: the whole.
        deadline: of :func:`time.monotonic`.

    Raises:
        RefusedError: 400 the form is damaged or has several parts, 415 it is neither.
        TimeoutError: the deadline has passed.
    """
    kind, options = parse_options_header(content_type)
    kind = kind.decode('latin-1')
    if kind in ('', 'application/octet-stream') or kind.startswith('image/'):
        return body
    if kind != FORM:
        raise RefusedError(
            415, f'Content-Type is {kind!r}; expected image/..., application/octet-stream or {FORM}'
        )
    try:
        return _only_part(options.get(b'boundary', b''), body, deadline)
    except FormParserError as error:
        raise RefusedError(400, f'the form is damaged ({error}); send one file') from error


def _only_part(boundary: bytes, body: bytes, deadline: float) -> bytes:
    if not boundary:
        raise RefusedError(400, f'Content-Type is {FORM} without a boundary; let the client set it')
    parts: list[list[bytes]] = []
    ends: list[bool] = []
    parser = MultipartParser(
        boundary,
        {
            'on_part_begin': lambda: parts.append([]),
            'on_part_data': lambda data, start, end: parts[-1].append(data[start:end]),
            'on_end': lambda: ends.append(True),
        },
    )
    for start in range(0, len(body), PIECE):
        parser.write(body[start : start + PIECE])
        if len(parts) > 1:
            raise RefusedError(
                400, 'the form has several parts; send one file, and options in the address'
            )
        if time.monotonic() > deadline:
            raise TimeoutError
    if not parts or not ends:
        raise RefusedError(400, 'the form ends early; send one file as a whole')
    return b''.join(parts[0])


class WholeAnswers:
    """ASGI middleware: answers reach their clients, and a request lasts until then.

    A connection that is closed while bytes arrive is reset, and the client may lose its answer. So
    one that comes before the whole body is sent, what still comes is thrown away for a moment, and
    then the connection ends. uvicorn waits for a client that reads slowly when more is to be sent,
    but not after the last message, so that one is empty.

    Args:
        app: the ASGI application.
    """

    def __init__(self, app) -> None:
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        """Pass a request on."""
        if scope['type'] != 'http':
            await self.app(scope, receive, send)
            return
        read_all = not _has_body(scope)

        async def counting_receive():
            nonlocal read_all
            message = await receive()
            read_all = not message.get('more_body', False)
            return message

        async def closing_send(message):
            if message['type'] == 'http.response.start' and not read_all:
                headers = [*message.get('headers', []), (b'connection', b'close')]
                await send({**message, 'headers': headers})
            elif message['type'] != 'http.response.body' or message.get('more_body'):
                await send(message)
            else:
                await send({**message, 'more_body': True})
                await drain()
                await send({'type': 'http.response.body'})

        async def drain() -> None:
            left = LINGER_BYTES
            try:
                async with asyncio.timeout(LINGER_SECONDS):
                    while not read_all and left > 0:
                        left -= len((await counting_receive()).get('body', b''))
            except TimeoutError:
                return

        await self.app(scope, counting_receive, closing_send)


def _has_body(scope) -> bool:
    return any(name in (b'content-length', b'transfer-encoding') for name, _ in scope['headers'])
