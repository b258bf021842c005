import threading

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from PIL import Image
from single_prediction import predict_image
from torch.nn import functional

from mmseg_custom.datasets.palette import distinct_palette
from mmseg_custom.engine.config import load_config
from mmseg_custom.inference.predictor import choose_device, in_scope, load_model, read_image

CLASSES = ('sky', 'road', 'tree', 'car')


@pytest.fixture(scope='module')
def model(config_path, checkpoint_path):
    return load_model(config_path, checkpoint_path, 'cpu')


@pytest.fixture
def altered(checkpoint_path, tmp_path):
    """Save the checkpoint with changes made by a function, and return the new path."""

    def alter(change):
        checkpoint = torch.load(checkpoint_path, weights_only=True)
        checkpoint = change(checkpoint) or checkpoint
        torch.save(checkpoint, tmp_path / 'altered.pth')
        return tmp_path / 'altered.pth'

    return alter


def expected_class_map(model, picture):
    mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    inputs = (torch.from_numpy(picture).permute(2, 0, 1).float() - mean) / std
    with torch.no_grad():
        logits = model(inputs[None], mode='tensor')
        logits = functional.interpolate(logits, picture.shape[:2], mode='bilinear')
    return logits[0].argmax(0).numpy()


def test_model_has_the_weights_and_classes_of_the_checkpoint(model, checkpoint_path):
    checkpoint = torch.load(checkpoint_path, weights_only=True)
    for name, value in model.state_dict().items():
        assert torch.equal(value, checkpoint['state_dict'][name]), name
    assert not model.training
    assert model.dataset_meta['classes'] == CLASSES
    assert model.dataset_meta['palette'][1] == (128, 64, 128)


def test_the_default_scope_of_the_caller_is_left_alone(config_path, checkpoint_path, picture):
    with DefaultScope.overwrite_default_scope('mmseg'):
        predict_image(load_model(config_path, checkpoint_path, 'cpu'), picture)
        assert DefaultScope.get_current_instance().scope_name == 'mmseg'


def test_the_default_scope_survives_threads(model):
    entered, leave = threading.Event(), threading.Event()

    def look_up():
        with in_scope(model.cfg):
            entered.set()
            leave.wait(60)

    other = threading.Thread(target=look_up)
    with DefaultScope.overwrite_default_scope('mmseg'):
        with in_scope(model.cfg):
            other.start()
            assert not entered.wait(0.2)
        leave.set()
        other.join()
        assert DefaultScope.get_current_instance().scope_name == 'mmseg'


def test_prediction_is_the_argmax_for_an_rgb_array(model, picture):
    class_map = predict_image(model, picture)
    assert class_map.dtype == np.uint8
    assert len(np.unique(class_map)) >= 3
    np.testing.assert_array_equal(class_map, expected_class_map(model, picture))
    # The order of the channels matters, so a swap would have been seen.
    assert (predict_image(model, picture[..., ::-1]) != class_map).mean() > 0.05


def test_a_path_gives_what_its_pixels_give(model, picture, picture_path):
    np.testing.assert_array_equal(read_image(model, picture_path), picture)
    np.testing.assert_array_equal(predict_image(model, picture_path), predict_image(model, picture))


def test_resizing_of_the_test_pipeline_is_kept(config_path, checkpoint_path, picture, model):
    config = load_config(str(config_path))
    resize = dict(type='Resize', scale=(180, 122), keep_ratio=True)
    loader, labels, pack = config.test_pipeline
    config.test_dataloader.dataset.pipeline = [loader, resize, labels, pack]
    class_map = predict_image(load_model(config, checkpoint_path, 'cpu'), picture)
    assert class_map.shape == (61, 90)
    differing = (class_map != predict_image(model, picture)).mean()
    assert 0.01 < differing < 0.9


def test_float_loading_gives_the_same(config_path, checkpoint_path, picture_path, picture, model):
    config = load_config(str(config_path))
    config.test_dataloader.dataset.pipeline[0]['to_float32'] = True
    other = load_model(config, checkpoint_path, 'cpu')
    np.testing.assert_array_equal(read_image(other, picture_path), picture)
    np.testing.assert_array_equal(predict_image(other, picture_path), predict_image(model, picture))


def test_the_given_config_is_left_as_it_is(config_path, checkpoint_path):
    config = load_config(str(config_path))
    before = config.pretty_text
    load_model(config, checkpoint_path, 'cpu')
    assert config.pretty_text == before


def test_weights_of_data_parallel_training(config_path, altered, model, picture):
    def wrap(checkpoint):
        weights = checkpoint['state_dict']
        checkpoint['state_dict'] = {f'module.{key}': value for key, value in weights.items()}

    wrapped = load_model(config_path, altered(wrap), 'cpu')
    np.testing.assert_array_equal(predict_image(wrapped, picture), predict_image(model, picture))


def test_classes_of_checkpoints_before_mmseg_1(config_path, altered):
    palette = [[i, i, i] for i in range(4)]
    path = altered(lambda c: c.update(meta={'CLASSES': list('abcd'), 'PALETTE': palette}))
    meta = load_model(config_path, path, 'cpu').dataset_meta
    assert meta == {'classes': tuple('abcd'), 'palette': [(i, i, i) for i in range(4)]}


def test_classes_of_the_configs_data_set_where_the_checkpoint_has_none(config_path, altered):
    config = load_config(str(config_path))
    config.test_dataloader.dataset.metainfo = dict(classes=list('wxyz'))
    meta = load_model(config, altered(lambda c: c['state_dict']), 'cpu').dataset_meta
    assert meta['classes'] == tuple('wxyz')
    assert [list(colour) for colour in meta['palette']] == distinct_palette(tuple('wxyz'))


def test_classes_are_never_guessed(config_path, altered):
    path = altered(lambda c: c.update(meta={}))
    with pytest.raises(ValueError, match=r'altered.pth names no classes.*metainfo.classes'):
        load_model(config_path, path, 'cpu')


def test_colours_must_match_the_classes(config_path, altered):
    path = altered(lambda c: c['meta']['dataset_meta'].update(palette=[[0, 0, 0]] * 3))
    with pytest.raises(ValueError, match='4 classes but 3 colours'):
        load_model(config_path, path, 'cpu')


def test_class_names_must_match_the_weights(config_path, altered):
    config = load_config(str(config_path))
    config.model.decode_head.num_classes = 4
    names = {'classes': list('abc'), 'palette': [[0, 0, 0]] * 3}
    path = altered(lambda c: c['meta'].update(dataset_meta=names))
    with pytest.raises(ValueError, match=r'num_classes=4 but .* names 3 classes'):
        load_model(config, path, 'cpu')


def test_a_checkpoint_of_another_model(config_path, checkpoint_path):
    config = load_config(str(config_path))
    config.model.decode_head.num_classes = 7
    config.model.backbone.num_layers = [2, 1, 1, 1]
    with pytest.raises(ValueError) as caught:
        load_model(config, checkpoint_path, 'cpu')
    message = str(caught.value)
    assert message.startswith(f'checkpoint {checkpoint_path} does not fit config {config_path}: ')
    assert (
        'the file holds MiT of depths (1, 1, 1, 1) and widths (8, 16, 16, 16) weights, the model '
        'is MiT of depths (2, 1, 1, 1)'
    ) in message
    assert '\n' not in message


def test_unreadable_pictures(model, tmp_path):
    broken = tmp_path / 'broken.jpg'
    broken.write_text('not a picture')
    with pytest.raises(ValueError, match=r'broken.jpg \(13 bytes\) is not a readable picture'):
        predict_image(model, broken)
    (tmp_path / 'empty.png').touch()
    with pytest.raises(ValueError, match=r'\(0 bytes\)'):
        predict_image(model, tmp_path / 'empty.png')
    with pytest.raises(FileNotFoundError, match=r'none\.png does not exist'):
        predict_image(model, tmp_path / 'none.png')
    with pytest.raises(ValueError, match=r'\(5, 5\)'):
        predict_image(model, np.zeros((5, 5), np.uint8))


def test_grey_pictures_are_read_as_rgb(model, tmp_path, picture):
    Image.fromarray(picture[..., 0]).save(tmp_path / 'grey.png')
    image = read_image(model, tmp_path / 'grey.png')
    np.testing.assert_array_equal(image, picture[..., :1].repeat(3, -1))


def test_devices():
    assert choose_device('cpu') == torch.device('cpu')
    assert choose_device().type == ('cuda' if torch.cuda.is_available() else 'cpu')
    with pytest.raises(ValueError, match="device='gpu' is unknown; expected cpu, cuda"):
        choose_device('gpu')
    with pytest.raises(ValueError, match=r"device='cuda:99', but PyTorch sees \d+ GPUs"):
        choose_device('cuda:99')


def test_pictures_are_turned_as_the_camera_noted(model, tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    Image.fromarray(picture).save(tmp_path / 'turned.jpg', quality=95, exif=exif)
    image = read_image(model, tmp_path / 'turned.jpg')
    assert image.shape == (90, 61, 3)
    assert np.abs(image.astype(int) - np.rot90(picture, -1)).mean() < 12
