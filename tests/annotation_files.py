"""Small data sets in the formats of annotation tools, and as their owners publish them."""

import json
from pathlib import Path

import cv2
import numpy as np
import yaml
from PIL import Image

SIZE = (24, 32)


def write_picture(path: Path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), 90, np.uint8))


def write_text(path: Path, text: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')


def write_labels(path: Path, labels):
    """Write (H, W) indices or (H, W, 3) RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(labels, np.uint8)).save(path)


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


def write_voc_and_sbd(root: Path) -> Path:
    """VOC with one picture for training and one for validation; SBD with these and two more."""
    from scipy.io import savemat

    lists = root / 'VOCdevkit/VOC2012/ImageSets/Segmentation'
    write_text(lists / 'train.txt', '2007_1\n')
    write_text(lists / 'val.txt', '2007_2\n')
    for index in (1, 2):
        write_labels(lists.parents[1] / f'SegmentationClass/2007_{index}.png', [[0, 255, index]])
    sbd = root / 'SBD/dataset'
    write_text(sbd / 'train.txt', '2007_1\n2008_3\n')
    write_text(sbd / 'val.txt', '2007_2\n2008_4\n')
    (sbd / 'cls').mkdir()
    for name in ('2007_1', '2007_2', '2008_3', '2008_4'):
        labels = np.array([[20, int(name[-1])], [0, 0]], np.uint8)
        savemat(sbd / f'cls/{name}.mat', {'GTcls': {'Segmentation': labels, 'Boundaries': [0]}})
    return lists.parents[1]


def write_pascal_context(root: Path) -> Path:
    """Two label maps in VOC 2010; its list of training pictures has one more name."""
    from scipy.io import savemat

    voc = root / 'VOCdevkit/VOC2010'
    write_text(voc / 'ImageSets/Main/train.txt', '2008_1\n2008_9\n')
    write_text(voc / 'ImageSets/Main/val.txt', '2008_2\n')
    (root / 'trainval').mkdir()
    labels = np.array([[0, 2, 9, 10], [284, 368, 458, 459]], np.uint16)
    for name in ('2008_1', '2008_2'):
        savemat(root / f'trainval/{name}.mat', {'LabelMap': labels})
    return voc


def write_ade20k(root: Path, names: dict[int, str], labels: np.ndarray):
    """Write a picture of the full ADE20K whose pixels have indices of names."""
    folder = root / 'images/ADE/training/urban/street'
    write_picture(folder / 'ADE_train_1.jpg', labels.shape)
    coded = np.stack([labels // 256 * 10, labels % 256, labels * 0], -1)
    write_labels(folder / 'ADE_train_1_seg.png', coded)
    objects = [{'name_ndx': index, 'name': name} for index, name in names.items()]
    content = json.dumps({'annotation': {'object': objects, 'scene': 'é'}}, ensure_ascii=False)
    (folder / 'ADE_train_1.json').write_bytes(content.encode('latin-1'))
