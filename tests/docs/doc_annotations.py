"""What docs/converters.md converts, small."""

from pathlib import Path

import numpy as np
from annotation_files import (
    SIZE,
    boxes,
    coco_entry,
    labelme_shape,
    points,
    square,
    write_ade20k,
    write_coco,
    write_labelme,
    write_labels,
    write_pascal_context,
    write_picture,
    write_text,
    write_voc_and_sbd,
)

COLOURS = "background: '#000000'\nroad: '#804080'\n"


def make_annotations(folder: Path) -> None:
    """Write one or two pictures of each data set where the page's commands look for them."""
    # The workspace has a link to data that other pages use, too.
    shared = folder / 'data'
    shared.unlink()
    shared.mkdir()
    write_labels(
        shared / 'cityscapes/gtFine/val/x/x_gtFine_labelIds.png', boxes((26, (0, 0, 9, 9)))
    )
    write_voc_and_sbd(shared)
    write_pascal_context(shared)
    write_ade20k(shared / 'ADE20K_2021_17_01', {2978: 'wall'}, np.full(SIZE, 2978))
    path = write_coco(folder / 'my_coco', [coco_entry(1, [square(2, 2, 9, 9)], 7)])
    path.rename(path.with_name('instances_train.json'))
    write_picture(folder / 'my_labelme/images/train/a.png')
    shape = labelme_shape('cell', points(3, 4, 10, 11))
    write_labelme(folder / 'my_labelme/images/train/a.json', [shape])
    write_labels(folder / 'my_colours/rgb/a.png', np.full((*SIZE, 3), [128, 64, 128]))
    write_text(folder / 'my_colours/colours.yaml', COLOURS)
