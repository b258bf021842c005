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

    class Upload(gradio.File):
        """A file field that fetches nothing and opens nothing."""

        # Its look is the file field's.
        is_template = True

        def preprocess(self, payload):
            return payload and payload.path

        async def async_move_resource_to_block_cache(self, url_or_file_path):
            path = Path(url_or_file_path).resolve()
            if not path.is_relative_to(Path(self.GRADIO_CACHE).resolve()):
                raise gradio.Error('this file was not uploaded here; upload it first')
            return await super().async_move_resource_to_block_cache(path)

    return Upload(label=label, file_types=[*kinds], type='filepath', height=132, **options)
