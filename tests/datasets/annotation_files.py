"""Small data sets in the formats of annotation tools."""

import json
from pathlib import Path

import cv2
import numpy as np
import yaml

SIZE = (24, 32)


def write_picture(path: Path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), 90, np.uint8))


def write_text(path: Path, text: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')


def write_yolo(root: Path, labels: dict[str, str | None], **keys):
    """Write a polygon set of Ultralytics: stem -> lines of its label file, None for no file."""
    names = keys.pop('names', {0: 'road', 1: 'car'})
    content = {'path': '../elsewhere', 'train': 'images/train', 'val': 'images/val'}
    write_text(root / 'data.yaml', yaml.safe_dump({**content, 'names': names, **keys}))
    for stem, lines in labels.items():
        write_picture(root / f'images/train/{stem}.png')
        if lines is not None:
            write_text(root / f'labels/train/{stem}.txt', lines)


def coco_entry(number: int, segmentation, category: int, image: int = 1, **keys) -> dict:
    return {
        'id': number,
        'image_id': image,
        'category_id': category,
        'segmentation': segmentation,
        **keys,
    }


def write_coco(root: Path, annotations: list[dict], files=('a.png',), size=SIZE, **keys) -> Path:
    """Write COCO's JSON with the categories 3 (cat) and 7 (dog), and the pictures."""
    images = [
        {'id': number, 'file_name': name, 'height': size[0], 'width': size[1]}
        for number, name in enumerate(files, start=1)
    ]
    content = {
        'images': images,
        'annotations': annotations,
        'categories': [{'id': 7, 'name': 'dog'}, {'id': 3, 'name': 'cat'}],
        **keys,
    }
    path = root / 'annotations/instances_train2017.json'
    write_text(path, json.dumps(content))
    for name in files:
        write_picture(root / 'images/train' / name, size)
    return path


def labelme_shape(label: str, points: list, kind: str | None = 'polygon') -> dict:
    return {'label': label, 'points': points, 'shape_type': kind, 'flags': {}}


def write_labelme(path: Path, shapes: list[dict], size=SIZE, image_path='elsewhere\\x.png'):
    content = {'shapes': shapes, 'imageHeight': size[0], 'imageWidth': size[1]}
    write_text(path, json.dumps({**content, 'imagePath': image_path, 'imageData': None}))


def square(left: float, top: float, right: float, bottom: float) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


def points(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return np.reshape(square(left, top, right, bottom), (4, 2)).tolist()


def boxes(*entries: tuple[int, tuple[int, int, int, int]], fill=0, size=SIZE) -> np.ndarray:
    """A label map of boxes (left, top, right, bottom), drawn in order."""
    labels = np.full(size, fill, np.uint8)
    for index, (left, top, right, bottom) in entries:
        labels[top:bottom, left:right] = index
    return labels
