"""What all pages share: no calls home, one look, one way to be served."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mmseg_custom.messages import import_extra
from mmseg_custom.web.body_limit import BodyLimit
from mmseg_custom.web.listening import bind
from mmseg_custom.web.own_addresses import OwnAddresses
from mmseg_custom.web.own_site import OwnSite, names_of

if TYPE_CHECKING:
    import fastapi
    import gradio

LOOPBACK = '127.0.0.1'
MOST_UPLOAD_BYTES = 64 * 2**20
# Seconds: how often uploads are looked through, and how old they become.
CLEANING = (600, 3600)
# What is installed on the reader's device; nothing is fetched.
FONTS = ('system-ui', 'sans-serif'), ('ui-monospace', 'monospace')
STYLE = Path(__file__).with_name('page.css')


def import_gradio():
    """Gradio, or the line that installs it.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    return import_extra('gradio', 'web', 'the page')


def new_page(title: str) -> 'gradio.Blocks':
    """An empty page to be filled as a context manager."""
    page = import_gradio().Blocks(
        title=title, analytics_enabled=False, delete_cache=CLEANING, fill_width=False
    )
    # Gradio lets a request name any file of the server until this is set, and sets it in its own
    # `launch` only.
    page.has_launched = True
    return page


def mount_page(
    app: 'fastapi.FastAPI',
    page: 'gradio.Blocks',
    most_upload_bytes: int = MOST_UPLOAD_BYTES,
    auth: Callable[[str, str], bool] | None = None,
) -> 'fastapi.FastAPI':
    """Let an application serve a page at ``/``.

    Args:
        app: with its other routes already in place.
        page: of :func:`new_page`.
        most_upload_bytes: larger uploads, and other requests, are refused.
        auth: whether a user with a password may see the page; None lets everyone.
    """
    gradio = import_gradio()
    fonts, mono = ([gradio.themes.Font(name) for name in names] for names in FONTS)
    theme = gradio.themes.Default(
        primary_hue='blue', neutral_hue='slate', radius_size='md', font=fonts, font_mono=mono
    )
    app = gradio.mount_gradio_app(
        app,
        page,
        path='/',
        auth=auth,
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=most_upload_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        theme=theme,
        css=STYLE.read_text(encoding='utf-8'),
    )
    app.routes[-1].app = OwnAddresses(BodyLimit(app.routes[-1].app, most_upload_bytes))
    return app


def serve_page(
    page: 'gradio.Blocks',
    host: str = LOOPBACK,
    port: int = 7860,
    allowed_hosts: Sequence[str] | None = None,
) -> None:
    """Serve a page until it is interrupted.

    Args:
        page: of :func:`new_page`.
        host: the address to listen on; the default is reached from this machine only.
        port: to listen on; 0 takes a free one.
        allowed_hosts: names besides ``localhost`` by which browsers may ask for the page.

    Raises:
        OSError: the address is in use or not of this machine, or there is no such port.
    """
    fastapi = import_extra('fastapi', 'web', 'the page')
    uvicorn = import_extra('uvicorn', 'web', 'the page')
    app = mount_page(fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None), page)
    app.add_middleware(OwnSite, names=names_of(host, allowed_hosts))
    bound = bind(host, port)
    host, port = bound.getsockname()[:2]
    print(f'page at http://{host}:{port}/ (Ctrl+C ends it)', flush=True)
    config = uvicorn.Config(app, log_level='warning', log_config=None)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[bound])
