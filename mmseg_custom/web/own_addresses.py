"""Requests that name another host: Gradio would fetch what is there, for whoever asks."""

from mmseg_custom.web.asgi import Application, Receive, Scope, Send, refuse


class OwnAddresses:
    """An ASGI application that refuses paths with an address in them, with status 404.

    Args:
        app: that gets all other requests.
    """

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope['type'] != 'http' or '://' not in scope['path']:
            await self.app(scope, receive, send)
            return
        await refuse(send, 404, 'no such address here')
