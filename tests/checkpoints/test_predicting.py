"""Prediction with a folder of Hugging Face, from the file to the class map."""

import numpy as np
import pytest
import torch
from generated_weights import segformer
from mmengine.config import Config
from reference_networks import randomised
from single_prediction import predict_image

from mmseg_custom.checkpoints.image_processor import read_processor, to_pipeline
from mmseg_custom.inference.predictor import load_model

transformers = pytest.importorskip('transformers')
NAMES = ('wall', 'sky', 'tree', 'road', 'bed')


@pytest.fixture(params=[None, {'height': 64, 'width': 96}], ids=['as it is', 'resized'])
def folder(tmp_path, request):
    """A folder as ``save_pretrained`` writes it, with its image processor."""
    from transformers.models.segformer.image_processing_pil_segformer import (
        SegformerImageProcessorPil,
    )

    config = transformers.SegformerConfig(
        hidden_sizes=[8, 16, 40, 64],
        depths=[1, 1, 1, 1],
        decoder_hidden_size=12,
        id2label=dict(enumerate(NAMES)),
        label2id={name: index for index, name in enumerate(NAMES)},
        attn_implementation='sdpa',
    )
    network = randomised(transformers.SegformerForSemanticSegmentation(config))
    with torch.no_grad():
        # Large weights without bias: several classes win somewhere.
        network.decode_head.classifier.weight.normal_()
        network.decode_head.classifier.bias.zero_()
    network.save_pretrained(tmp_path / 'theirs')
    size = request.param or {'height': 1, 'width': 1}
    processor = SegformerImageProcessorPil(size=size, do_resize=request.param is not None)
    processor.save_pretrained(tmp_path / 'theirs')
    return tmp_path / 'theirs', network, processor


def config_for(folder) -> Config:
    """Our config of that network, with the pipeline that the image processor's file describes."""
    import json

    processor = read_processor(json.loads((folder / 'preprocessor_config.json').read_text()))
    steps, normalisation = to_pipeline(processor)
    norm = dict(type='LN', eps=1e-5)
    model = segformer(num_classes=None, norm_cfg=norm)
    model['data_preprocessor'].update(normalisation)
    return Config(dict(model=model, test_pipeline=steps, default_scope='mmseg_custom'))


def test_the_class_map_is_transformers(folder):
    path, network, processor = folder
    picture = np.random.default_rng(0).integers(0, 256, (75, 110, 3), np.uint8)
    shown = []
    model = load_model(config_for(path), path, 'cpu', show=shown.append)
    assert model.dataset_meta['classes'] == NAMES
    assert 'segmentor of Hugging Face' in shown[0] and 'eps' not in shown[0]
    class_map = predict_image(model, picture)
    with torch.no_grad():
        outputs = network(**processor(picture, return_tensors='pt'))
    (wanted,) = processor.post_process_semantic_segmentation(outputs, [picture.shape[:2]])
    assert len(wanted.unique()) >= 3
    # Rounding decides where two classes are equally likely. Where the picture was resized, mmseg
    # resizes the logits to the network's input first and to the picture then, theirs at once.
    assert (class_map == wanted.numpy()).mean() > (0.98 if processor.do_resize else 0.999)


def test_a_backbone_cannot_predict(tmp_path, folder):
    path, network, _ = folder
    network.segformer.save_pretrained(tmp_path / 'encoder')
    config = config_for(path)
    config.model.decode_head.num_classes = 5
    config.test_dataloader = dict(
        dataset=dict(type='BaseSegDataset', metainfo=dict(classes=NAMES), pipeline=[])
    )
    with pytest.raises(ValueError, match=r'backbone of Hugging Face, no decoder; the file has no'):
        load_model(config, tmp_path / 'encoder', 'cpu')
