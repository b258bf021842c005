"""Folders of one's own with one mistake each, and what the doctor of data sets has to say."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image

SIZE = 32
COLOURS = np.array([(128, 64, 128), (70, 70, 70), (0, 0, 142)], np.uint8)

Expected = tuple[int, list[str]]


def write(path: Path, picture: Image.Image | np.ndarray, **options) -> Path:
    """Write a picture, RGB or a mask, in the format of the path's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    picture.save(path, **options)
    return path


def photograph(seed: int, height: int = SIZE, width: int = SIZE) -> np.ndarray:
    """Noise, RGB uint8 (H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def labels(values=(0, 1, 2), height: int = SIZE, width: int = SIZE) -> np.ndarray:
    """Columns of the values, uint8 (H, W)."""
    return np.resize(np.array(values, np.uint8), (height, width))


def good_folder(root: Path, pictures: int = 3) -> Path:
    """Three classes, ``a0.jpg`` and so on in ``train``, ``b0.jpg`` and so on in ``val``."""
    for number, (split, letter) in enumerate((('train', 'a'), ('val', 'b'))):
        for index in range(pictures):
            stem = f'{letter}{index}'
            write(root / f'images/{split}/{stem}.jpg', photograph(100 * number + index))
            write(root / f'masks/{split}/{stem}.png', labels())
    (root / 'dataset.yaml').write_text('classes: [background, road, car]\n')
    return root


def every_mask(root: Path, mask: np.ndarray) -> None:
    for path in root.glob('masks/*/*.png'):
        write(path, mask)


def cut(path: Path, keep: float = 0.6) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])


def good(root: Path) -> Expected:
    return 0, ['train: 3 images, 32x32, RGB; masks index', 'verdict: ok']


def empty_folder(root: Path) -> Expected:
    for path in root.glob('images/train/*'):
        path.unlink()
    return 1, ['error: train: 0 images in', 'images/train', 'the folder is empty']


def wrong_suffix(root: Path) -> Expected:
    for path in root.glob('images/train/*'):
        path.rename(path.with_suffix('.gif'))
    return 1, ['0 images in', 'images/train', '3 .gif there']


def unpaired(root: Path) -> Expected:
    (root / 'masks/train/a1.png').unlink()
    return 1, ['1 of 3 images in', 'have no mask', 'a1.jpg']


def masks_without_image(root: Path) -> Expected:
    (root / 'images/train/a1.jpg').unlink()
    return 0, ['warning: train: 1 masks have no image: a1.png', 'remove the masks']


def zero_byte_image(root: Path) -> Expected:
    (root / 'images/train/a1.jpg').write_bytes(b'')
    return 1, ['a1.jpg is empty (0 bytes)', 'invalid_data_tolerance_percent=34']


def truncated_image(root: Path) -> Expected:
    cut(root / 'images/train/a1.jpg')
    return 1, ['1 of 3', 'a1.jpg is truncated', 'invalid_data_tolerance_percent=34']


def truncated_mask(root: Path) -> Expected:
    write(root / 'masks/val/b1.png', photograph(5)[..., 0] % 3)
    cut(root / 'masks/val/b1.png')
    return 1, ['error: val: 1 of 3', 'b1.png is truncated or damaged']


def text_as_image(root: Path) -> Expected:
    (root / 'images/train/a1.jpg').write_text('<html>404</html>')
    return 1, ['a1.jpg is no image of a known format']


def cmyk_image(root: Path) -> Expected:
    write(root / 'images/train/a1.jpg', Image.fromarray(photograph(1)).convert('CMYK'))
    return 0, ['warning: train: 1 of 3', 'a1.jpg', 'converted to RGB', 'verdict: 1 warning']


def sixteen_bit_image(root: Path) -> Expected:
    path = root / 'images/train/a1.jpg'
    path.unlink()
    cv2.imwrite(str(path.with_suffix('.png')), photograph(1).astype(np.uint16) * 257)
    return 0, ['warning: train: 1 of 3', 'a1.png', '16 bits', 'scale them to 8 bits']


def palette_image(root: Path) -> Expected:
    write(root / 'images/train/a1.png', Image.fromarray(photograph(1)).convert('P'))
    (root / 'images/train/a1.jpg').unlink()
    return 0, ['RGB (2) palette (1)', 'verdict: ok']


def alpha_image(root: Path) -> Expected:
    write(root / 'images/train/a1.png', Image.fromarray(photograph(1)).convert('RGBA'))
    (root / 'images/train/a1.jpg').unlink()
    return 0, ['warning: train: 1 of 3', 'alpha channel, which is dropped', 'a1.png']


def size_differs(root: Path) -> Expected:
    write(root / 'masks/train/a1.png', labels(height=16))
    return 1, ['a1.jpg is 32x32, its mask', 'a1.png is 32x16', 'nearest neighbour']


def turned_by_exif(root: Path) -> Expected:
    exif = Image.Exif()
    exif[0x0112] = 6
    write(root / 'images/train/a1.jpg', photograph(1, 24, 32), exif=exif)
    write(root / 'masks/train/a1.png', labels(height=24))
    write(root / 'images/train/a2.jpg', photograph(2), exif=exif)
    return 1, [
        'a1.jpg is 24x32 after EXIF orientation 6',
        'a1.png is 32x24',
        'pipeline.0.color_type=color_ignore_orientation',
        'warning: train: 1 of 3: images are turned by EXIF',
        'a2.jpg (orientation 6)',
    ]


def unknown_colours(root: Path) -> Expected:
    mask = COLOURS[labels()]
    mask[:2] = 0
    every_mask(root, mask)
    wanted = "labels: {background: '#000000', road: '#00008e', car: '#464646'}"
    return 1, ['a0.png holds #', f'({(mask == (128, 64, 128)).all(-1).sum()} pixels)', wanted]


def nothing_at_all(root: Path) -> Expected:
    shutil.rmtree(root)
    root.mkdir()
    return 1, [f'the folder {root} is empty; expected dataset.yaml, and pictures and masks']


def zero_and_255(root: Path) -> Expected:
    (root / 'dataset.yaml').write_text('classes: [background, cell]\n')
    every_mask(root, labels((0, 255)))
    return 1, [
        'masks/train hold 0 and 255 only',
        "dataset.yaml: 'labels: {background: 0, cell: 255}'",
    ]


def value_outside(root: Path) -> Expected:
    write(root / 'masks/train/a1.png', labels((0, 1, 2, 9)))
    return 1, [
        '1 of 3: masks hold values that are no class (3 classes, 0 to 2)',
        'a1.png holds 9 (256 pixels)',
        'dataset.yaml what each value is, such as '
        'labels: {ignore: [255, 9], background: 0, road: 1, car: 2}',
    ]


def value_without_label(root: Path) -> Expected:
    (root / 'dataset.yaml').write_text('labels: {ignore: 0, road: 7, car: [8, 9]}\n')
    every_mask(root, labels((0, 7, 8, 9)))
    write(root / 'masks/train/a1.png', labels((7, 8, 9, 2)))
    return 1, ['a1.png holds 2 (256 pixels)', 'labels: {ignore: [0, 2], road: 7, car: [8, 9]}']


def shifted_by_one(root: Path) -> Expected:
    every_mask(root, labels((1, 2, 3)))
    return 1, [
        'a0.png holds 3 (',
        'labels look shifted by one (values 1 to 3, none is 0)',
        'labels: {ignore: [255], background: 1, road: 2, car: 3}',
    ]


def shifted_the_other_way(root: Path) -> Expected:
    (root / 'dataset.yaml').write_text('classes: [a, b, c, d]\n')
    every_mask(root, labels((1, 2, 3)))
    return 0, ['1 of 4 classes never occur: a', 'if the masks count from 1 (1 is a)']


def sixteen_bit_mask(root: Path) -> Expected:
    cv2.imwrite(str(root / 'masks/train/a1.png'), labels().astype(np.uint16) * 1000)
    return 1, ['a1.png holds', '1000 (', '2000 (', 'masks index (2) 16-bit (1)']


def one_mask_ignored(root: Path) -> Expected:
    write(root / 'masks/train/a1.png', labels((255,)))
    return 0, ['warning: train: 1 of 3: masks have no labelled pixel', 'a1.png (255 (1024 pixels))']


def all_masks_ignored(root: Path) -> Expected:
    every_mask(root, labels((255,)))
    return 1, ['all pixels of all masks that were read are ignored', 'ignore_index']


def class_never_occurs(root: Path) -> Expected:
    every_mask(root, labels((0, 1)))
    return 0, ['warning: train: 1 of 3 classes never occur: car']


def duplicate_stems(root: Path) -> Expected:
    write(root / 'images/train/a1.png', photograph(1))
    return 1, ["have the stem 'a1'", 'a1.jpg and a1.png', 'remove or rename one']


def classes_as_text(root: Path) -> Expected:
    (root / 'dataset.yaml').write_text('classes: background road car\n')
    return 1, ["classes is str 'background road car'; expected a list of names"]


def nan_in_tiff(root: Path) -> Expected:
    pixels = photograph(1)[..., 0].astype(np.float32)
    pixels[0, :5] = np.nan
    write(root / 'images/train/a1.tif', pixels)
    (root / 'images/train/a1.jpg').unlink()
    return 1, ['a1.tif has 5 of 1024 values that are NaN or infinite', 'numpy.nan_to_num']


def other_letters(root: Path) -> Expected:
    for kind, suffix in (('images', 'jpg'), ('masks', 'png')):
        (root / f'{kind}/train/a1.{suffix}').rename(
            root / f'{kind}/train/Straße 1 <b>日本.{suffix}'
        )
    return 0, ['train: 3 images', 'verdict: ok']


def symbolic_links(root: Path) -> Expected:
    for kind in ('images', 'masks'):
        (root / kind).rename(root / f'real_{kind}')
        (root / kind).symlink_to(f'real_{kind}')
    picture = root / 'images/train/a1.jpg'
    picture.rename(root / 'elsewhere.jpg')
    picture.symlink_to(root / 'elsewhere.jpg')
    return 0, ['train: 3 images', 'verdict: ok']


def broken_link(root: Path) -> Expected:
    path = root / 'images/train/a1.jpg'
    path.unlink()
    path.symlink_to(root / 'gone.jpg')
    return 1, ['a1.jpg cannot be read (No such file or directory)']


def read_only_folder(root: Path) -> Expected:
    for folder in (root, *(path for path in root.rglob('*') if path.is_dir())):
        os.chmod(folder, 0o555)
    return 0, ['train: 3 images', 'verdict: ok']


def binary_task(root: Path) -> Expected:
    (root / 'dataset.yaml').write_text('classes: [thing]\ntask: binary\n')
    every_mask(root, labels((0, 0, 0, 1)))
    return 0, ['--cfg-options model.decode_head.foreground_prior=0.25', 'verdict: ok']


def four_bands(root: Path) -> Expected:
    for seed, path in enumerate([*root.glob('images/*/*.jpg')]):
        bands = photograph(seed)[..., [0, 1, 2, 0]].astype(np.uint16)
        options = dict(photometric='minisblack', planarconfig='contig')
        tifffile.imwrite(path.with_suffix('.tif'), bands, **options)
        path.unlink()
    return 1, ['images are not 8-bit colours', 'a0.tif is a TIFF', 'bands: [red, green, blue, nir]']


def four_named_bands(root: Path) -> Expected:
    four_bands(root)
    with (root / 'dataset.yaml').open('a') as file:
        file.write('bands: [red, green, blue, nir]\n')
    return 0, ['train: 3 images, 32x32, 4 bands', 'verdict: ok']


def nan_without_data(root: Path) -> Expected:
    four_named_bands(root)
    with (root / 'dataset.yaml').open('a') as file:
        file.write('nodata: nan\n')
    for index, path in enumerate(sorted(root.glob('images/*/*.tif'))):
        bands = np.random.default_rng(index).random((SIZE, SIZE, 4), np.float32)
        bands[:4] = np.nan
        tifffile.imwrite(path, bands)
    return 0, ['train: 3 images, 32x32, float', 'verdict: ok']


def leaked_image(root: Path) -> Expected:
    content = (root / 'images/train/a2.jpg').read_bytes()
    (root / 'images/val/b0.jpg').write_bytes(content)
    return 1, ['error: train and val: 1 images occur more than once', 'a2.jpg = ', 'one split only']


CASES: list[Callable[[Path], Expected]] = [
    other_letters,
    good,
    empty_folder,
    wrong_suffix,
    unpaired,
    masks_without_image,
    zero_byte_image,
    truncated_image,
    truncated_mask,
    text_as_image,
    cmyk_image,
    sixteen_bit_image,
    palette_image,
    alpha_image,
    size_differs,
    turned_by_exif,
    unknown_colours,
    nothing_at_all,
    zero_and_255,
    value_outside,
    value_without_label,
    shifted_by_one,
    shifted_the_other_way,
    sixteen_bit_mask,
    one_mask_ignored,
    all_masks_ignored,
    class_never_occurs,
    duplicate_stems,
    classes_as_text,
    nan_in_tiff,
    symbolic_links,
    broken_link,
    read_only_folder,
    leaked_image,
    binary_task,
    four_bands,
    four_named_bands,
    nan_without_data,
]
