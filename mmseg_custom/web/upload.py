"""A field for uploads that takes nothing but what was uploaded through it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmseg_custom.web.pages import import_gradio

if TYPE_CHECKING:
    import gradio


def upload_field(label: str, kinds: Sequence[str], **options) -> 'gradio.File':
    """Build the field; its value is the path of the uploaded file.

    A request may name any path or address in place of an upload: everything outside the folder of
    uploads is refused, before it is looked at.

    Args:
        label: above the field.
        kinds: ``'image'`` for all pictures, or suffixes such as ``'.mp4'``.
        options: of ``gradio.File``.
    """
    gradio = import_gradio()
    field = gradio.File(label=label, file_types=[*kinds], type='filepath', height=132, **options)
    uploads, move = Path(field.GRADIO_CACHE).resolve(), field.async_move_resource_to_block_cache

    async def only_uploads(path: str) -> str:
        if not Path(path).resolve().is_relative_to(uploads):
            raise gradio.Error('this file was not uploaded here; upload it first')
        return await move(path)

    # On this one field, since Gradio writes a file beside every module that subclasses its parts.
    field.async_move_resource_to_block_cache = only_uploads
    # Gradio's would look at the name and leave an empty file behind.
    field.preprocess = lambda payload: payload and payload.path
    return field
