"""The part of a page that shows a prediction: picture, opacity, legend, regions, downloads."""

from pathlib import Path
from typing import TYPE_CHECKING

from mmseg_custom.web.pages import import_gradio
from mmseg_custom.web.results import Results

if TYPE_CHECKING:
    import gradio

SOURCES = Path(__file__).parent
EMPTY = 'Upload a picture to see its classes.'


def segmentation_view(results: Results, empty: str = EMPTY, **options) -> 'gradio.HTML':
    """A component whose value is what :meth:`Results.show` returns, or :func:`shown_classes`.

    Opacity is mixed in the browser; a click or a download asks the server about the token.

    Args:
        results: where the values come from.
        empty: shown while there is none.
        options: of ``gradio.HTML``, such as ``elem_id``.

    Raises:
        ModuleNotFoundError: gradio is not installed.
    """

    def region_at(asked: dict) -> dict:
        return results.region_at(asked)

    def file_of(asked: dict) -> dict:
        return results.file_of(asked)

    return import_gradio().HTML(
        dict(empty=empty),
        html_template=_source('view.html'),
        css_template=_source('view.css'),
        js_on_load=_source('view.js'),
        server_functions=[region_at, file_of],
        apply_default_css=False,
        **options,
    )


def _source(name: str) -> str:
    return (SOURCES / name).read_text(encoding='utf-8')
