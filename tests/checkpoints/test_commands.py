"""The commands of docs/weights.md, on generated files of the published sizes."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from generated_weights import augreg_arrays, build, save, write_rstrudel
from reference_networks import NVlabsMiT, NVlabsSegFormer, RstrudelSegmenter, TimmViT

from mmseg_custom.checkpoints.adapt import describe_model
from mmseg_custom.checkpoints.loading import load_weights
from mmseg_custom.engine.class_count import heads
from mmseg_custom.engine.config import drop_pretrained, load_config

PAGE = Path(__file__).resolve().parents[2] / 'docs/weights.md'
SECTION = PAGE.read_text(encoding='utf-8').partition('## From each source')[2].partition('\n## ')[0]
COMMANDS = [
    line
    for line in SECTION.replace('\\\n', ' ').splitlines()
    if line.startswith(('python tools/test.py', 'python tools/train.py'))
]
B0 = dict(dims=(32, 64, 160, 256), depths=(2, 2, 2, 2))
TINY = dict(channels=192, depth=12, heads=3, side=16)
ADE = 'configs/{}_ade20k-512x512.py'
SEGFORMER = ADE.format('segformer/segformer_mit-b0_8xb2-160k')
SEGMENTER = ADE.format('segmenter/segmenter_vit-t_mask_8xb1-160k')


def model_of(config: str, options: list[str] | None = None) -> torch.nn.Module:
    config = load_config(config, options)
    drop_pretrained(config)
    for _, head in heads(config.model):
        head['num_classes'] = head.get('num_classes') or 3
        if head.get('norm_cfg'):
            head['norm_cfg']['type'] = 'BN'
    return build(config.model)


def ours(path, config, part='', **content):
    model = model_of(config)
    content = {key: make(model) for key, make in content.items()}
    save(getattr(model, part, model) if part else model, path, **content)


def hugging_face(path, kind):
    transformers = pytest.importorskip('transformers')
    config = transformers.SegformerConfig(num_labels={'SemanticSegmentation': 150}.get(kind, 1000))
    getattr(transformers, f'SegformerFor{kind}')(config).save_pretrained(path)


def timm_folder(path, mean, std):
    from safetensors.torch import save_file

    path.mkdir()
    save_file(TimmViT(**TINY, image=64).state_dict(), path / 'model.safetensors')
    trained = {'pretrained_cfg': {'mean': mean, 'std': std}}
    (path / 'config.json').write_text(json.dumps(trained))


def rstrudel(path, decoder):
    network = RstrudelSegmenter(decoder, 150, **TINY, image=512)
    write_rstrudel(path.parent, network)


SOURCES = {
    'mmseg_segformer.pth': lambda path: ours(path, SEGFORMER, meta=lambda model: {}),
    'mmseg_segmenter.pth': lambda path: ours(path, SEGMENTER, meta=lambda model: {}),
    'mmseg_mit-b0.pth': lambda path: ours(path, SEGFORMER, 'backbone'),
    'mmseg_vit-t.pth': lambda path: ours(path, SEGMENTER, 'backbone'),
    'work_dirs/ade20k/best.pth': lambda path: ours(
        path, SEGFORMER, meta=lambda model: {'mmseg_custom': describe_model(model).as_dict()}
    ),
    'mit_b0.pth': lambda path: save(NVlabsMiT(**B0, num_classes=1000), path),
    'segformer.b0.512x512.ade.160k.pth': lambda path: save(
        NVlabsSegFormer(**B0, width=256, num_classes=150), path
    ),
    'segformer-b0-finetuned-ade-512-512': lambda p: hugging_face(p, 'SemanticSegmentation'),
    'mit-b0': lambda path: hugging_face(path, 'ImageClassification'),
    'Ti_16-i21k-300ep.npz': lambda path: np.savez(path, **augreg_arrays(TimmViT(**TINY, image=64))),
    'vit_tiny_patch16_384.augreg_in21k_ft_in1k': lambda p: timm_folder(p, [0.5] * 3, [0.5] * 3),
    'deit_tiny_patch16_224.fb_in1k': lambda path: timm_folder(
        path, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    ),
    'seg_tiny_mask/checkpoint.pth': lambda path: rstrudel(path, 'mask'),
    'seg_tiny_linear/checkpoint.pth': lambda path: rstrudel(path, 'linear'),
}


def parts_of(command: str) -> tuple[str, str, list[str], bool, bool]:
    """Config, file, options of the model, and whether it trains and takes new classes."""
    _, tool, config, *words = shlex.split(command)
    options = [word for word in words if word.startswith('model.')]
    (file,) = re.findall(r'load_from=(\S+)', command) or words[:1]
    return config, file, options, tool.endswith('train.py'), 'new_classes=True' in words


def test_each_source_is_fine_tuned_and_each_with_a_classifier_evaluated():
    trained = {parts_of(command)[1] for command in COMMANDS if parts_of(command)[3]}
    tested = {parts_of(command)[1] for command in COMMANDS if not parts_of(command)[3]}
    assert trained | tested == SOURCES.keys()
    assert tested - trained == {'seg_tiny_linear/checkpoint.pth'}
    backbones = {'mmseg_mit-b0.pth', 'mmseg_vit-t.pth', 'mit_b0.pth', 'Ti_16-i21k-300ep.npz'}
    assert trained - tested == backbones | {name for name in SOURCES if 'tiny_patch16' in name}


@pytest.mark.parametrize('command', COMMANDS, ids=lambda line: Path(line.split()[2]).stem)
def test_commands_load_with_the_numbers_of_their_source(tmp_path, command):
    """Nothing but a decoder or classifier is new, and no difference is noted."""
    config, file, options, trains, new_classes = parts_of(command)
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    SOURCES[file](path)
    model = model_of(config, options)
    report = load_weights(model, path, new_classes=new_classes, new_decoder=trains)
    assert not any(name.startswith('backbone.') for name in report.new)
    assert all(name.startswith('auxiliary_head.') for name in report.new) or trains
    assert all(note.startswith(('the decoder is', 'the classifier')) for note in report.notes), (
        report.notes
    )
