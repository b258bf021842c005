"""What docs/converters.md converts, small."""

from pathlib import Path

import annotation_files as files
import numpy as np

COLOURS = "background: '#000000'\nroad: '#804080'\n"


def make_annotations(folder: Path) -> None:
    """Write one or two pictures of each data set where the page's commands look for them."""
    # The workspace has a link to data that other pages use, too.
    shared = folder / 'data'
    shared.unlink()
    shared.mkdir()
    files.write_labels(
        shared / 'cityscapes/gtFine/val/x/x_gtFine_labelIds.png', files.boxes((26, (0, 0, 9, 9)))
    )
    files.write_voc_and_sbd(shared)
    files.write_pascal_context(shared)
    files.write_ade20k(shared / 'ADE20K_2021_17_01', {2978: 'wall'}, np.full(files.SIZE, 2978))
    path = files.write_coco(
        folder / 'my_coco', [files.coco_entry(1, [files.square(2, 2, 9, 9)], 7)]
    )
    path.rename(path.with_name('instances_train.json'))
    files.write_picture(folder / 'my_labelme/images/train/a.png')
    shape = files.labelme_shape('cell', files.points(3, 4, 10, 11))
    files.write_labelme(folder / 'my_labelme/images/train/a.json', [shape])
    files.write_labels(folder / 'my_colours/rgb/a.png', np.full((*files.SIZE, 3), [128, 64, 128]))
    files.write_text(folder / 'my_colours/colours.yaml', COLOURS)
