"""Small folders of pictures, and params for them."""

from pathlib import Path

from generated_data import write_dataset

from mmseg_custom.templates.params_file import Params, default_params

CLASSES = ('background', 'road', 'car', 'tree')
SEGFORMER, SEGMENTER, GENERAL = (f'MMSegmentation{end}' for end in ('_SegFormer', '_Segmenter', ''))


def write_blocks(root: Path, num_train: int = 6) -> Path:
    """Write pictures of 32x32 with four classes, and two to validate."""
    root.mkdir(parents=True, exist_ok=True)
    (root / 'dataset.yaml').write_text(f'classes: [{", ".join(CLASSES)}]\n')
    for split, count in (('train', num_train), ('val', 2)):
        dataset = dict(type='FolderDataset', split=split)
        write_dataset(dataset, root, len(CLASSES), count, size=(32, 32))
    return root


def small(template: str = SEGFORMER, **fields) -> Params:
    """A training from random weights that takes a second."""
    given = dict(pretrained_weights=None, image_size=[32], batch_size=3, per_item_lrate=1e-4)
    return default_params(template).updated(**{**given, **fields})
