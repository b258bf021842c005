"""What a test writes: label maps and pictures, in the sub-folders of the data set."""

import numpy as np
import pytest
from PIL import Image

from mmseg_custom.engine import Runner
from mmseg_custom.registry import register_all

CLASSES = ['ground', 'sky']
PIPELINE = [dict(type=t) for t in ('LoadImageFromFile', 'LoadAnnotations', 'PackSegInputs')]


def model_config(out_channels):
    return dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', mean=[127.0] * 3, std=[60.0] * 3),
        backbone=dict(
            type='MixVisionTransformer',
            embed_dims=8,
            num_stages=1,
            num_layers=[1],
            num_heads=[1],
            patch_sizes=[7],
            strides=[4],
            sr_ratios=[1],
            out_indices=(0,),
        ),
        decode_head=dict(
            type='FCNHead',
            in_channels=8,
            channels=8,
            num_convs=0,
            concat_input=False,
            in_index=0,
            num_classes=2,
            out_channels=out_channels,
            threshold=0.5 if out_channels == 1 else None,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=out_channels == 1),
        ),
        test_cfg=dict(mode='whole'),
    )


def write_pictures(root):
    """Two pictures of the same name in two folders, one above the other in brightness."""
    (root / 'dataset.yaml').write_text(f'classes: {CLASSES}\n')
    for street, value in (('north', 40), ('south', 200)):
        for kind, shape in (('images', (32, 48, 3)), ('masks', (32, 48))):
            path = root / kind / 'test' / street / '0.png'
            path.parent.mkdir(parents=True)
            pixels = np.full(shape, value if kind == 'images' else int(value > 100), np.uint8)
            Image.fromarray(pixels).save(path)


def run_test(root, dataset=None, hooks=(), out_channels=2, **evaluator):
    register_all()
    dataset = dataset or dict(
        type='FolderDataset', data_root=str(root), split='test', pipeline=PIPELINE
    )
    runner = Runner(
        model=model_config(out_channels),
        work_dir=str(root / 'run'),
        test_dataloader=dict(
            batch_size=1,
            num_workers=0,
            dataset=dataset,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        test_evaluator=dict(type='IoUMetric', **evaluator),
        test_cfg=dict(type='TestLoop'),
        custom_hooks=list(hooks),
        default_scope='mmseg_custom',
        experiment_name=root.name,
    )
    return runner.test()


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*.png'))


@pytest.mark.parametrize('out_channels', [1, 2])
def test_sub_folders_are_kept(tmp_path, out_channels):
    """Also by a head with one channel, of which the class maps are floats."""
    write_pictures(tmp_path)
    paint = dict(type='PaintHook', out_dir=str(tmp_path / 'shown'))
    run_test(
        tmp_path,
        hooks=[dict(type='ImageFolderHook'), paint],
        out_channels=out_channels,
        output_dir=str(tmp_path / 'maps'),
    )
    assert files(tmp_path / 'shown') == ['north/0.png', 'south/0.png']
    assert files(tmp_path / 'maps') == ['north/0.png', 'south/0.png']
    shown = [np.asarray(Image.open(tmp_path / 'shown' / f'{s}/0.png')) for s in ('north', 'south')]
    # A grey of 40 and one of 200: each picture shows its own image.
    assert (shown[0] == 40).all(-1).any() and (shown[1] == 200).all(-1).any()
    maps = np.asarray(Image.open(tmp_path / 'maps/north/0.png'))
    assert maps.shape == (32, 48) and set(np.unique(maps)) <= {0, 1}


@pytest.mark.parametrize('writer', ['PaintHook', 'IoUMetric'])
def test_two_pictures_of_one_name_in_unknown_folders(tmp_path, writer):
    """Data sets put together do not say where their pictures lie."""
    write_pictures(tmp_path)
    parts = [
        dict(
            type='FolderDataset',
            data_root=str(tmp_path),
            data_prefix=dict(img_path=f'images/test/{s}', seg_map_path=f'masks/test/{s}'),
            pipeline=PIPELINE,
        )
        for s in ('north', 'south')
    ]
    out = str(tmp_path / 'out')
    hooks = [dict(type='PaintHook', out_dir=out)] if writer == 'PaintHook' else []
    evaluator = {} if writer == 'PaintHook' else {'output_dir': out}
    with pytest.raises(ValueError, match=r'north/0.png and .*south/0.png would both be written'):
        run_test(tmp_path, dict(type='ConcatDataset', datasets=parts), hooks, **evaluator)
