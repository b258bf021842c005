"""Weights of pictures with three channels in a network of pictures with others."""

import pytest
import torch
from generated_weights import assert_close, build, mit, save, segformer, vit

from mmseg_custom.checkpoints.adapt import FIRST_CONVOLUTIONS, change_channels
from mmseg_custom.checkpoints.loading import load_weights


@pytest.mark.parametrize(('channels', 'verb'), [(1, 'averaged'), (2, 'averaged'), (5, 'inflated')])
def test_other_image_channels(tmp_path, images, channels, verb):
    """Equal channels give what they gave before."""
    three, other = build(mit()), build(mit(in_channels=channels))
    report = load_weights(other, save(three, tmp_path / 'x.pth'))
    name = 'backbone.layers.0.0.projection.weight'
    assert report.adapted == {name: f'{verb} from 3 to {channels} channels'}
    grey = images[:, :1]
    with torch.no_grad():
        wanted = three(grey.repeat(1, 3, 1, 1))
        for out, want in zip(other(grey.repeat(1, channels, 1, 1)), wanted, strict=True):
            assert_close(out, want)


def test_inflated_channels_keep_their_order():
    weight = torch.arange(6.0).view(1, 6, 1, 1)[:, :3]
    assert change_channels(weight, 4).flatten().tolist() == [0.0, 1.0, 2.0, 0.0]
    assert change_channels(weight + 2, 6).flatten().tolist() == [1, 1.5, 2, 1, 1.5, 2]


@pytest.mark.parametrize('family', ['mit', 'vit'])
@pytest.mark.parametrize('order', ['rgb', 'bgr'])
def test_colours_keep_their_filters_among_more_bands(tmp_path, images, family, order):
    """Blue, red, near infrared, green: each colour keeps its filter, scaled for a grey picture."""
    make = {'mit': mit, 'vit': vit}[family]
    three, four = build(make()), build(make(in_channels=4, rgb_channels=[1, 3, 0]))
    meta = {'mmseg_custom': {'channel_order': order, 'mean': [0.0] * 3, 'std': [1.0] * 3}}
    path = save(three, tmp_path / 'x.pth', meta=meta)
    report = load_weights(four, path)
    (name,) = (name for name in FIRST_CONVOLUTIONS if name in report.adapted)
    places = [1, 3, 0] if order == 'rgb' else [0, 3, 1]
    assert report.adapted[name].startswith('inflated from 3 to 4 channels, the old ones at')
    assert str(places) in str(report)
    old, new = (net.state_dict()[name.removeprefix('backbone.')] for net in (three, four))
    assert_close(new[:, places], old * 3 / 4)
    assert_close(new[:, 2], old.mean(dim=1) * 3 / 4)
    grey = images[:, :1]
    with torch.no_grad():
        wanted = three(grey.repeat(1, 3, 1, 1))
        for out, want in zip(four(grey.repeat(1, 4, 1, 1)), wanted, strict=True):
            assert_close(out, want)


def test_a_segmentor_keeps_its_channels_unless_trained(tmp_path):
    path = save(build(segformer(in_channels=4)), tmp_path / 'x.pth')
    model = build(segformer())
    with pytest.raises(
        ValueError, match=r'of 4 channels, .* of 3; set model.backbone.in_channels=4$'
    ):
        load_weights(model, path)
    report = load_weights(model, path, new_channels=True)
    assert list(report.adapted.values()) == ['averaged from 4 to 3 channels']
