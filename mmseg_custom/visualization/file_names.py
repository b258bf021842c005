"""Names of the files that are written for pictures, with the sub-folders of the pictures."""

import os
from pathlib import Path


def name_below(picture: str | os.PathLike, folder: str | os.PathLike | None) -> str:
    """Return the path of a picture below a folder, without suffix, e.g. ``'street/0001'``.

    Args:
        picture: path of the picture.
        folder: where the pictures lie. The file's own name is returned where this is None or the
            picture lies somewhere else.
    """
    path = Path(os.path.abspath(picture)).with_suffix('')
    if folder is None or not path.is_relative_to(os.path.abspath(folder)):
        return path.name
    return path.relative_to(os.path.abspath(folder)).as_posix()


class FileNames:
    """One name for each picture, as :func:`name_below`, and none for two pictures."""

    def __init__(self) -> None:
        self._pictures: dict[str, str] = {}

    def name_of(
        self, picture: str | os.PathLike, folder: str | os.PathLike | None, out_dir: str
    ) -> str:
        """Return the picture's name below ``folder``.

        Args:
            picture: path of the picture; asking again gives the same name.
            folder: see :func:`name_below`.
            out_dir: where the files go, for the message.

        Raises:
            ValueError: another picture had this name.
        """
        name, picture = name_below(picture, folder), str(picture)
        if self._pictures.setdefault(name, picture) != picture:
            raise ValueError(
                f'{self._pictures[name]} and {picture} would both be written as {name} to '
                f'{out_dir}; expected one picture of a name, test their folders one at a time'
            )
        return name
