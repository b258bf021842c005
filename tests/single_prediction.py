"""A picture's class map by the shortest way: what the inferencer's answers are compared with."""

import numpy as np
import torch

from mmseg_custom.inference.predictor import array_pipeline, in_scope, pipeline_input, read_image


@torch.inference_mode()
def predict_image(model: torch.nn.Module, image) -> np.ndarray:
    """Class indices (H, W) of a picture, given by its path or as ``read_image`` returns it."""
    if not isinstance(image, np.ndarray):
        image = read_image(model, image)
    with in_scope(model.cfg):
        packed = array_pipeline(model.cfg)({'img': pipeline_input(model, image)})
    batch = {'inputs': [packed['inputs']], 'data_samples': [packed['data_samples']]}
    labels = model.test_step(batch)[0].pred_sem_seg.data[0].numpy()
    return labels.astype(np.uint8)
