"""Requests that name another host: Gradio would fetch what is there, for whoever asks."""

from collections.abc import Callable

from mmseg_custom.web.body_limit import Receive, Scope, Send


class OwnAddresses:
    """An ASGI application that refuses paths with an address in them, with status 404.

    Args:
        app: that gets all other requests.
    """

    def __init__(self, app: Callable) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope['type'] != 'http' or '://' not in scope['path']:
            await self.app(scope, receive, send)
            return
        await send({'type': 'http.response.start', 'status': 404, 'headers': []})
        await send({'type': 'http.response.body', 'body': b'{"reason": "no such address here"}'})
