"""Config look-up and ``--cfg-options``."""

import pytest
from mmengine.config import Config

from mmseg_custom.engine.class_count import fit_class_count
from mmseg_custom.engine.config import apply_options, drop_pretrained, find_config, load_config

CAMVID = 'segformer/segformer_mit-b0_1xb8-4k_camvid-360x480.py'
ADE = 'segmenter/segmenter_vit-t_mask_8xb1-160k_ade20k-512x512.py'


def test_config_is_found_below_configs_and_nearest_is_offered():
    assert find_config(CAMVID).is_file()
    assert find_config(CAMVID.removesuffix('.py')) == find_config(CAMVID)
    with pytest.raises(FileNotFoundError, match='did you mean segformer/segformer_mit-b0_1xb8'):
        find_config('segformer_mit-b0_1xb8_camvid.py')


def test_one_key_in_two_bases_is_one_line(tmp_path):
    for name in ('a', 'b'):
        (tmp_path / f'{name}.py').write_text('max_iters = 5\n')
    (tmp_path / 'leaf.py').write_text("_base_ = ['a.py', 'b.py']\n")
    with pytest.raises(ValueError, match='Duplicate keys.*max_iters.*let one of the bases'):
        load_config(str(tmp_path / 'leaf.py'))


def test_crop_size_reaches_everything_that_had_it():
    config = load_config(ADE, ['crop_size=(256,256)'])
    crops = [t for t in config.train_dataloader.dataset.pipeline if t['type'] == 'RandomCrop']
    assert crops[0]['crop_size'] == (256, 256)
    assert config.model.data_preprocessor['size'] == (256, 256)
    assert config.model.backbone['img_size'] == (256, 256)
    assert config.model.test_cfg['crop_size'] == (256, 256)
    assert config.crop_size == (256, 256)


@pytest.mark.parametrize(
    ('name', 'crop_size', 'img_size', 'stride'),
    [
        (ADE, (256, 256), (256, 256), (240, 240)),
        (ADE, (100, 260), (112, 272), (94, 244)),
        ('segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024.py', (64, 1), None, (48, 1)),
        ('segmenter/segmenter_vit-t_mask_1xb8-4k_camvid-360x480.py', (180, 240), (192, 240), None),
    ],
)
def test_stride_and_position_embeddings_fit_the_crop_size(name, crop_size, img_size, stride):
    config = load_config(name, ['crop_size=({},{})'.format(*crop_size)])
    assert config.model.test_cfg.get('stride') == stride
    assert config.model.backbone.get('img_size') == img_size
    if stride:
        assert config.model.test_cfg.crop_size == crop_size


def test_crop_size_leaves_what_is_set_by_itself():
    """Whatever the order of the options, and where the windows were never the crop's."""
    config = load_config(ADE, ['model.test_cfg.stride=(99,99)', 'crop_size=(256,256)'])
    assert config.model.test_cfg.stride == (99, 99)
    config = load_config(ADE)
    config.model.test_cfg.crop_size = config.model.backbone.img_size = (384, 384)
    apply_options(config, ['crop_size=(256,256)'])
    assert config.model.test_cfg.crop_size == config.model.backbone.img_size == (384, 384)
    assert config.model.test_cfg.stride == (480, 480)


@pytest.mark.parametrize('value', ['256', '(256,)', '(256,0)', 'None'])
def test_crop_size_that_is_no_pair(value):
    with pytest.raises(ValueError, match=r'set "crop_size=\(256,256\)"$'):
        load_config(ADE, [f'crop_size={value}'])


def test_data_root_reaches_all_loaders():
    config = load_config(CAMVID, ['data_root=elsewhere'])
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        assert config[name].dataset.data_root == 'elsewhere'


@pytest.mark.parametrize(
    ('max_iters', 'spans'),
    [(1000, [(0, 50), (50, 1000)]), (100, [(0, 10), (10, 100)]), (5, [(0, 5)])],
)
def test_max_iters_moves_the_schedule(max_iters, spans):
    config = load_config(CAMVID, [f'max_iters={max_iters}'])
    assert config.train_cfg.max_iters == max_iters
    assert [(s['begin'], s['end']) for s in config.param_scheduler] == spans


def test_max_iters_of_a_config_that_has_no_such_key():
    """As mmseg's own configs, and the one that a run of epochs saves."""
    scheduler = [dict(type='PolyLR', begin=0, end=160000)]
    train_cfg = dict(type='IterBasedTrainLoop', max_iters=160000, val_interval=16000)
    config = Config(dict(train_cfg=train_cfg, param_scheduler=scheduler))
    apply_options(config, ['max_iters=500'])
    assert config.train_cfg.max_iters == config.param_scheduler[0].end == config.max_iters == 500
    epochs = load_config(CAMVID, ['max_epochs=3'])
    with pytest.raises(ValueError, match='max_iters=500, but .* counts epochs; set max_epochs'):
        apply_options(epochs, ['max_iters=500'])


def test_a_long_warmup_is_shortened_and_other_schedulers_stay():
    def spans(schedulers, max_iters):
        text = {'param_scheduler': schedulers, 'max_iters': 4000}
        config = Config({**text, 'train_cfg': dict(max_iters=4000)})
        apply_options(config, [f'max_iters={max_iters}'])
        return [(s.get('begin'), s.get('end')) for s in config.param_scheduler]

    three = [dict(begin=0, end=50), dict(begin=50, end=2000), dict(begin=2000, end=4000)]
    assert spans(three, 8000) == [(0, 50), (50, 2000), (2000, 8000)]
    assert spans([dict(type='CosineAnnealingLR', T_max=4000)], 100) == [(None, None)]
    warmup = [dict(begin=0, end=50), dict(begin=50, end=4000)]
    assert spans(warmup, 50) == [(0, 5), (5, 50)]


def test_values_are_parsed():
    options = ['train_dataloader.batch_size=3', 'model.decode_head.in_index=[0,1]', 'resume=True']
    config = load_config(CAMVID, [*options, 'load_from=None', 'work_dir=here'])
    assert config.train_dataloader.batch_size == 3
    assert config.model.decode_head.in_index == [0, 1]
    assert load_config(CAMVID, ['work_dir=my own folder/b']).work_dir == 'my own folder/b'
    assert load_config(CAMVID, ['crop_size=(32, 32)']).crop_size == (32, 32)
    config_of_list = load_config(CAMVID, ['val_evaluator.iou_metrics=[mIoU,mDice]'])
    assert config_of_list.val_evaluator.iou_metrics == ['mIoU', 'mDice']
    assert (
        load_config(CAMVID, ['optim_wrapper.optimizer.lr=1e-2']).optim_wrapper.optimizer.lr == 0.01
    )
    assert config.resume is True and config.load_from is None and config.work_dir == 'here'


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('model.decode_head.num_clases=3', r"no 'num_clases'; did you mean num_classes"),
        ('modle.decode_head.num_classes=3', r"the config has no 'modle'; did you mean model"),
        ('param_scheduler.7.end=3', r"'param_scheduler' has 2 entries, no \[7\]"),
        ('param_scheduler.begin=3', "'param_scheduler' is a list: write its number"),
        ('max_iters.x=3', "'max_iters' is 4000, it has no 'x'"),
        ('max_iters=abc', "max_iters takes a whole number from 1 on, but got 'abc'"),
        ('max_iters=0', 'max_iters takes a whole number from 1 on, but got 0'),
        ('max_iters', "KEY=VALUE, but got 'max_iters'"),
        ('optim_wrapper.optimizer.learning_rate=1', r"no 'learning_rate'"),
    ],
)
def test_unknown_keys_are_errors(option, message):
    with pytest.raises(ValueError, match=message):
        load_config(CAMVID, [option])


def test_arguments_of_a_configured_class_are_known_keys():
    config = load_config(
        CAMVID, ['optim_wrapper.accumulative_counts=2', 'model.backbone.with_cp=1']
    )
    assert config.optim_wrapper.accumulative_counts == 2
    assert config.model.backbone.with_cp == 1
    assert load_config(CAMVID, ['+anything.at.all=1']).anything.at['all'] == 1


@pytest.mark.parametrize(
    ('option', 'key', 'value'),
    [
        ('randomness.deterministic=True', 'randomness.deterministic', True),
        ('optim_wrapper.dtype=float16', 'optim_wrapper.dtype', 'float16'),
        ('model.test_cfg.window_batch_size=4', 'model.test_cfg.window_batch_size', 4),
        ('model.test_cfg.check_finite=False', 'model.test_cfg.check_finite', False),
        ('model.test_cfg.crop_size=(64,64)', 'model.test_cfg.crop_size', (64, 64)),
        ('model.test_cfg.stride=(48,48)', 'model.test_cfg.stride', (48, 48)),
    ],
)
def test_keys_of_parts_without_a_type(option, key, value):
    node = load_config(CAMVID, [option])
    for part in key.split('.'):
        node = node[part]
    assert node == value


@pytest.mark.parametrize(
    'key',
    ['randomness.sed', 'optim_wrapper.dtpye', 'model.test_cfg.strides', 'model.train_cfg.finite'],
)
def test_wrong_keys_of_parts_without_a_type(key):
    with pytest.raises(ValueError, match=f"unknown key '{key}'"):
        load_config(CAMVID, [f'{key}=1'])


def test_class_count_flows_from_a_folder(tmp_path):
    (tmp_path / 'dataset.yaml').write_text('classes: [a, b, c, d]\n')
    config = load_config('segformer/segformer_mit-b0_folder.py', [f'data_root={tmp_path}'])
    fit_class_count(config)
    assert config.model.decode_head.num_classes == 4


def test_class_count_that_disagrees_is_an_error():
    config = load_config(CAMVID, ['model.decode_head.num_classes=19'])
    message = 'num_classes=19 but the data set has 11 classes; set model.decode_head.num_classes=11'
    with pytest.raises(ValueError, match=message):
        fit_class_count(config)


def test_from_scratch_forgets_every_weight():
    config = load_config(ADE, ['load_from=somewhere.pth'])
    assert config.model.backbone.init_cfg.type == 'Pretrained'
    drop_pretrained(config)
    assert config.model.backbone.init_cfg is None and config.load_from is None
