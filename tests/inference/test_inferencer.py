import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from single_prediction import predict_image

from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.prediction import RegionOptions


@pytest.fixture(scope='module')
def inferencer(config_path, checkpoint_path):
    return Inferencer(config_path, checkpoint_path, 'cpu', batch_size=2, probs=True)


def test_labels_probabilities_and_confidence(inferencer, picture):
    prediction = inferencer(picture)
    np.testing.assert_array_equal(prediction.labels, predict_image(inferencer.model, picture))
    assert prediction.labels.dtype == np.uint8
    np.testing.assert_allclose(prediction.probs.sum(0), 1, atol=1e-6)
    np.testing.assert_allclose(prediction.confidence, prediction.probs.max(0), atol=1e-6)
    shares = {region.name: 0 for region in prediction.regions}
    for region in prediction.regions:
        shares[region.name] += region.area
        chosen = prediction.probs[region.class_index][region.full_mask]
        assert region.value == pytest.approx(chosen.mean(), abs=1e-6)
    index = inferencer.classes.index
    assert shares == {name: (prediction.labels == index(name)).sum() for name in shares}


def test_confidence_where_it_is_wanted(config_path, checkpoint_path, inferencer, picture):
    without = Inferencer(config_path, checkpoint_path, 'cpu', confidence=False)(picture)
    assert without.confidence is None
    np.testing.assert_array_equal(without.labels, inferencer(picture).labels)
    with pytest.raises(ValueError, match='regions need the confidence; .* with confidence=True'):
        without.regions  # noqa: B018


def test_every_kind_of_picture_gives_the_same(inferencer, picture, picture_path):
    wanted = inferencer(picture).labels
    folder = picture_path.parent
    kinds = [picture_path, str(picture_path), Image.open(picture_path), folder, [picture]]
    kinds += [[picture_path, picture], folder / '*.png']
    for source in kinds:
        found = inferencer(source)
        for prediction in found if isinstance(found, list) else [found]:
            np.testing.assert_array_equal(prediction.labels, wanted)
    swapped = inferencer(picture[..., ::-1], channel_order='bgr')
    np.testing.assert_array_equal(swapped.labels, wanted)
    assert (inferencer(picture[..., ::-1]).labels != wanted).any()


def test_pil_images_of_16_bits_and_those_that_are_no_pictures(inferencer, picture, tmp_path):
    grey = picture[..., 0]
    wanted = inferencer(grey[..., None].repeat(3, axis=2)).labels
    Image.fromarray(grey.astype(np.uint16) * 256 + 99).save(tmp_path / 'deep.png')
    deep = Image.open(tmp_path / 'deep.png')
    assert deep.mode == 'I;16'
    for source in (deep, tmp_path / 'deep.png'):
        np.testing.assert_array_equal(inferencer(source).labels, wanted)

    content = io.BytesIO()
    Image.fromarray(picture).save(content, 'PNG')
    cut = Image.open(io.BytesIO(content.getvalue()[:-300]))
    reasons = {}
    sources = [cut, Image.fromarray(grey.astype(np.float32)), picture]
    (last,) = inferencer.stream(sources, failed=reasons.__setitem__)
    assert last.name == '2' and 'PIL image cannot be decoded' in reasons['0']
    assert "mode 'F' has no range; scale it to 0..255" in reasons['1']


def test_what_does_not_fit_in_memory_is_tried_one_by_one(inferencer, picture, monkeypatch):
    forward = inferencer.forward_packed

    def limited(batch):
        if sum(one['inputs'].shape[2] for one in batch) > 90:
            raise torch.OutOfMemoryError('CUDA out of memory')
        return forward(batch)

    monkeypatch.setattr(inferencer, 'forward_packed', limited)
    reasons = {}
    sources = [picture, picture, picture.repeat(2, axis=1)]
    found = list(inferencer.stream(sources, failed=reasons.__setitem__))
    assert [one.name for one in found] == ['0', '1']
    assert reasons['2'].startswith('1 pictures of up to 180x61 pixels at once need more memory')


def test_pictures_of_several_sizes_keep_their_order(inferencer):
    generator = np.random.default_rng(0)
    sizes = [(40, 52), (61, 33), (40, 52), (32, 32), (33, 61)]
    pictures = [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    found = inferencer(pictures)
    assert [prediction.labels.shape for prediction in found] == sizes
    assert [prediction.name for prediction in found] == ['0', '1', '2', '3', '4']
    for prediction, picture in zip(found, pictures):
        np.testing.assert_array_equal(prediction.labels, predict_image(inferencer.model, picture))


def test_a_checkpoint_alone(inferencer, config_path, checkpoint_path, picture, tmp_path):
    from mmseg_custom.engine.config import load_config

    checkpoint = torch.load(checkpoint_path, weights_only=True)
    text = load_config(str(config_path)).pretty_text
    checkpoint['meta'] = {**checkpoint['meta'], 'cfg': text}
    torch.save(checkpoint, tmp_path / 'alone.pth')
    alone = Inferencer(tmp_path / 'alone.pth', device='cpu')
    np.testing.assert_array_equal(alone(picture).labels, inferencer(picture).labels)


def test_mistakes_have_one_line(inferencer, config_path, checkpoint_path, picture, tmp_path):
    with pytest.raises(ValueError, match='has no weights; name a checkpoint after it'):
        Inferencer(config_path)
    with pytest.raises(ValueError, match='carries no config; name its config first'):
        Inferencer(checkpoint_path)
    with pytest.raises(ValueError, match='batch_size is 0'):
        Inferencer(config_path, checkpoint_path, batch_size=0)
    with pytest.raises(ValueError, match="channel_order is 'gbr'; expected 'rgb' or 'bgr'"):
        inferencer(picture, channel_order='gbr')
    with pytest.raises(FileNotFoundError, match=r'no file fits .*nothing\*.jpg; .* has 0 files'):
        inferencer(tmp_path / 'nothing*.jpg')


def test_a_config_of_more_classes_than_the_one_channel_of_a_checkpoint(config_path, binary):
    option = ['model.decode_head.num_classes=6']
    with pytest.raises(
        ValueError, match='has num_classes=6, .* one output channel for 2 classes; '
    ):
        Inferencer(config_path, binary[1], 'cpu', cfg_options=option)


def test_regions_as_asked_for(config_path, checkpoint_path, picture):
    options = RegionOptions(whole_classes=True, leave_out=['sky'])
    prediction = Inferencer(config_path, checkpoint_path, 'cpu', regions=options)(picture)
    names = [region.name for region in prediction.regions]
    assert len(names) == len(set(names)) and 'sky' not in names


def test_test_time_augmentation_averages_probabilities(
    inferencer, config_path, checkpoint_path, picture
):
    resizes = "[{'type':'Resize','scale_factor':1.0},{'type':'Resize','scale_factor':1.5}]"
    flips = "[{'type':'RandomFlip','prob':0.0},{'type':'RandomFlip','prob':1.0}]"
    rest = "[{'type':'LoadAnnotations'}],[{'type':'PackSegInputs'}]"
    steps = f"{{'type':'TestTimeAug','transforms':[{resizes},{flips},{rest}]}}"
    option = f"+tta_pipeline=[{{'type':'LoadImageFromFile'}},{steps}]"
    build = [config_path, checkpoint_path, 'cpu']
    prediction = Inferencer(*build, tta=True, probs=True, cfg_options=[option])(picture)
    forms = []
    for scale in (1.0, 1.5):
        resize = [{'type': 'LoadImageFromFile'}, {'type': 'Resize', 'scale_factor': scale}]
        pipeline = f'+test_dataloader.dataset.pipeline={[*resize, {"type": "PackSegInputs"}]}'
        one = Inferencer(*build, probs=True, cfg_options=[pipeline.replace(' ', '')])
        forms += [one(picture).probs, one(picture[:, ::-1].copy()).probs[..., ::-1]]
    mean = np.mean(forms, axis=0)
    np.testing.assert_allclose(prediction.probs, mean, atol=2e-6)
    np.testing.assert_array_equal(prediction.labels, mean.argmax(0))
    np.testing.assert_allclose(prediction.confidence, mean.max(0), atol=2e-6)
    with pytest.raises(ValueError, match='has no tta_pipeline; leave --tta out'):
        Inferencer(*build, tta=True)


def test_a_tiff_needs_tifffile_for_its_georeference_only(
    inferencer, picture, tmp_path, monkeypatch
):
    Image.fromarray(picture).save(tmp_path / 'field.tif')
    Image.fromarray(picture).save(tmp_path / 'a_png.tif', format='PNG')
    assert inferencer(tmp_path / 'a_png.tif').georeference is None
    monkeypatch.setitem(sys.modules, 'tifffile', None)
    prediction = inferencer(tmp_path / 'field.tif')
    np.testing.assert_array_equal(prediction.labels, inferencer(picture).labels)
    with pytest.raises(ModuleNotFoundError, match='georeference of .*field.tif needs tifffile'):
        prediction.georeference  # noqa: B018


def test_the_package_names_what_users_import():
    import mmseg_custom.inference as package
    from mmseg_custom.inference import inferencer, prediction, regions

    assert package.Inferencer is inferencer.Inferencer
    assert package.Prediction is prediction.Prediction
    assert package.RegionOptions is prediction.RegionOptions
    assert package.Region is regions.Region
    with pytest.raises(AttributeError, match='inference. has no attribute .Segmenter'):
        package.Segmenter  # noqa: B018
