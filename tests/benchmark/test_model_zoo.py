"""The model zoo's page: up to date, and read correctly from the configs."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_custom.benchmark.model_zoo import (
    find_leaves,
    is_current,
    make_page,
    pretrained_backbone,
    published_accuracy,
    read_entry,
)

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
B0 = CONFIGS / 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'


@pytest.mark.slow
def test_page_is_up_to_date():
    page = make_page(CONFIGS)
    assert is_current(page, ROOT / 'docs/model_zoo.md'), (
        'run: python tools/analysis_tools/model_zoo.py'
    )
    for leaf in find_leaves(CONFIGS):
        assert f'(../configs/{leaf.relative_to(CONFIGS).as_posix()})' in page


def test_entry_of_a_published_config():
    entry = read_entry(B0, CONFIGS)
    # Table 1 of the paper: 3.8 M parameters. The head fuses before it resizes: fewer FLOPs.
    assert round(entry.parameters / 1e6, 2) == 3.75
    assert 8e9 < entry.flops < 16.8e9
    assert entry.published == 'mIoU 37.41 / 38.34'
    assert entry.backbone.name == 'mit_b0'
    assert entry.trained.name == 'segformer_mit-b0_ade20k'


@pytest.mark.parametrize(
    ('header', 'expected'),
    [
        ('Published: mIoU 46.19, multi-scale + flip 47.85 (OpenMMLab).', 'mIoU 46.19 / 47.85'),
        ('Published: mIoU 46.19,\n           multi-scale + flip 47.', 'mIoU 46.19 / 47'),
        ('Published: mIoU 70.1 (val).\nHardware: 8', 'mIoU 70.1'),
        ('Published: top-1 70.5 (paper).', 'top-1 70.5'),
        ('Published: none for this version.', '-'),
    ],
)
def test_published_numbers(header, expected):
    assert published_accuracy(header, B0) == expected


def test_wrong_headers_say_what_to_write(tmp_path):
    with pytest.raises(ValueError, match='expected "Published: none", .*, got "Published: good"'):
        published_accuracy('Published: good', B0)
    (tmp_path / 'bare.py').write_text('crop_size = (8, 8)\n')
    with pytest.raises(ValueError, match=r'bare\.py has no header'):
        read_entry(tmp_path / 'bare.py', tmp_path)


def test_weights_must_be_in_the_table():
    model = dict(backbone=dict(pretrained='https://example.org/resnet.pth'))
    with pytest.raises(ValueError, match=r'resnet\.pth; add them to checkpoints/published\.py'):
        pretrained_backbone(Config(dict(model=model)))


def test_out_of_date_page(tmp_path):
    file = tmp_path / 'zoo.md'
    assert not is_current('new', file)
    file.write_text('new')
    assert is_current('new', file) and not is_current('newer', file)
