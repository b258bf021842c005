"""A limit on everything that is sent to a page: Gradio limits files, not what else a body holds."""

from mmseg_custom.web.asgi import Application, Message, Receive, Scope, Send, refuse

# What a form adds to its file.
FORM_BYTES = 64 * 2**10


class BodyLimit:
    """An ASGI application that refuses bodies, with status 413, as soon as they are too long.

    Args:
        app: that gets all other requests.
        most_bytes: of a file.
    """

    def __init__(self, app: Application, most_bytes: int) -> None:
        self.app, self.most_bytes = app, most_bytes + FORM_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope['type'] != 'http':
            await self.app(scope, receive, send)
            return
        length = dict(scope['headers']).get(b'content-length', b'0')
        if not length.isdigit() or int(length) > self.most_bytes:
            await self._refuse(send)
            return
        arrived, started = 0, False

        async def counted() -> Message:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get('body', b''))
            if arrived > self.most_bytes:
                raise _TooLongError
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, counted, watched)
        except _TooLongError:
            if not started:
                await self._refuse(send)

    async def _refuse(self, send: Send) -> None:
        await refuse(send, 413, f'the body has more than {self.most_bytes} bytes')


class _TooLongError(Exception):
    """More bytes came than may."""
