"""COCO's and LabelMe's outlines as mask files."""

from functools import partial
from pathlib import Path

import yaml

from mmseg_custom.datasets.annotations.coco import read_coco
from mmseg_custom.datasets.annotations.labelme import read_labelme
from mmseg_custom.datasets.annotations.source import AnnotationSource, ObjectReader
from mmseg_custom.datasets.converting import Conversion, Job, convert_files, encode_png
from mmseg_custom.writing import write_atomically


def convert_coco(
    annotations: str | Path, image_dir: str | Path, out_dir: str | Path, **options
) -> Conversion:
    """Write a mask for each picture of COCO's JSON of objects.

    Args:
        annotations: the JSON.
        image_dir: folder of its pictures.
        out_dir: folder of the masks; each lies where its picture lies in ``image_dir``.
        options: of :func:`write_masks`.

    Raises:
        FileNotFoundError: a picture that the file names is missing.
        ValueError: the file does not fit.
    """
    path = Path(annotations)
    if not path.is_file():
        raise FileNotFoundError(f'no file {path}; expected the JSON of COCO for these pictures')
    source = read_coco(path, path.parent, '', image_dir=Path(image_dir))
    return write_masks(source, Path(image_dir), Path(out_dir), **options)


def convert_labelme(image_dir: str | Path, out_dir: str | Path, **options) -> Conversion:
    """Write a mask for each picture with a JSON file of LabelMe beside it.

    Args:
        image_dir: folder of pictures and JSON files, of all splits, so that classes are the same.
        out_dir: folder of the masks; each lies where its picture lies in ``image_dir``.
        options: of :func:`write_masks`.

    Raises:
        FileNotFoundError: a picture or its JSON file is missing.
        ValueError: a file does not fit.
    """
    source = read_labelme(Path(image_dir))
    return write_masks(source, Path(image_dir), Path(out_dir), **options)


def write_masks(
    source: AnnotationSource,
    image_dir: Path,
    out_dir: Path,
    yaml_path: str | Path | None = None,
    **options,
) -> Conversion:
    """Draw the samples of a source into mask files, and write its classes as ``dataset.yaml``.

    Raises:
        ValueError: ``yaml_path`` has other classes.
    """
    jobs = [
        Job(
            ((out_dir / Path(s['img_path']).relative_to(image_dir)).with_suffix('.png'),),
            data=(s['img_path'], s['annotation']),
        )
        for s in source.samples
    ]
    if yaml_path is not None:
        write_classes(Path(yaml_path), source.classes)
    return convert_files(jobs, partial(draw, reader=source.reader), out_dir, **options)


def draw(job: Job, reader: ObjectReader) -> list[bytes]:
    """Draw one mask."""
    path, annotation = job.data
    sample = {'img_path': path, 'annotation': annotation, 'ori_shape': annotation['size']}
    return [encode_png(reader(sample))]


def write_classes(path: Path, classes: tuple[str, ...]) -> None:
    """Write ``dataset.yaml`` with the classes.

    Raises:
        ValueError: there is one that says something else.
    """
    content = yaml.safe_dump({'classes': list(classes)}, allow_unicode=True, sort_keys=False)
    if path.exists() and path.read_text(encoding='utf-8') != content:
        raise ValueError(
            f'{path} exists and differs from the classes {list(classes)}; remove it, or leave '
            '--yaml out'
        )
    write_atomically(path, content.encode())
