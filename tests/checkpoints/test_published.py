"""The table of published weights agrees with itself, OpenMMLab's files and our configs."""

from pathlib import Path
from urllib.parse import urlparse

import mmseg
import pytest
import torch
import yaml
from config_leaves import CONFIG_DIR, fill_class_counts
from mmengine.config import Config

from mmseg_custom.benchmark.named_models import build
from mmseg_custom.checkpoints.published import NVIDIA, PUBLISHED, find, trained_with
from mmseg_custom.checkpoints.sources import HASH_IN_NAME
from mmseg_custom.engine.config import drop_pretrained, load_config

OFFICIAL_DIR = Path(mmseg.__file__).parent / '.mim/configs'


def official_weights() -> dict[str, str]:
    """Address of OpenMMLab's trained weights by config, from its metafiles."""
    found = {}
    for family in ('segformer', 'segmenter'):
        content = yaml.safe_load((OFFICIAL_DIR / family / 'metafile.yaml').read_text())
        found |= {f'{family}/{m["Name"]}.py': m['Weights'] for m in content['Models']}
    return found


def test_every_official_model_is_in_the_table():
    official = official_weights()
    assert len(official) == 18
    for config, url in official.items():
        assert trained_with(config).urls[0] == url
    openmmlab = [e for e in PUBLISHED.values() if e.config in official]
    assert len(openmmlab) == 18


def test_every_official_backbone_is_in_the_table():
    for config in official_weights():
        model = Config.fromfile(OFFICIAL_DIR / config).model
        url = model.get('pretrained') or model.backbone.init_cfg.checkpoint
        assert find(url).urls[0] == url


@pytest.mark.parametrize('entry', PUBLISHED.values(), ids=lambda entry: entry.name)
def test_an_entry_is_complete(entry):
    assert bool(entry.urls) != bool(entry.hugging_face)
    assert {urlparse(url).path.rsplit('/', 1)[-1] for url in entry.urls} <= {entry.file_name}
    for url in entry.urls:
        in_name = HASH_IN_NAME.search(urlparse(url).path)
        assert entry.sha256 == (in_name[1] if in_name else '')
    assert not entry.config or (CONFIG_DIR / entry.config).is_file()
    assert not entry.same_as or PUBLISHED[entry.same_as].licence == entry.licence
    assert entry.what and entry.trained_on and entry.megabytes > 10
    assert (entry.licence == NVIDIA) == ('mit' in entry.name or 'segformer' in entry.name)


def test_all_sizes_are_there():
    names = ' '.join(PUBLISHED)
    for size in range(6):
        for name in (f'mit_b{size}', f'segformer_mit-b{size}_ade20k', f'nvidia/mit-b{size}'):
            assert name in PUBLISHED
        assert f'segformer_mit-b{size}_cityscapes' in PUBLISHED
        assert f'nvidia/segformer-b{size}-finetuned-cityscapes-1024-1024' in names
    for size in ('tiny', 'small', 'base', 'large'):
        assert PUBLISHED[f'vit_{size}_p16_384_npz'].file_name.endswith('-res_384.npz')
        assert f'segmenter_vit-{size[0]}_mask_ade20k' in PUBLISHED


@pytest.mark.parametrize(
    'entry',
    [e for e in PUBLISHED.values() if e.config],
    ids=lambda entry: entry.name,
)
def test_number_of_parameters_is_the_models(entry):
    config = load_config(str(CONFIG_DIR / entry.config))
    backbone = config.model.backbone.get('init_cfg').checkpoint
    drop_pretrained(config)
    fill_class_counts(config)
    with torch.device('meta'):
        model = build(config.model)
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert entry.million_parameters == pytest.approx(millions, rel=0.02)
    encoder = sum(p.numel() for p in model.backbone.parameters()) / 1e6
    assert PUBLISHED[backbone].million_parameters == pytest.approx(encoder, rel=0.02)
