"""Segment a picture: ``python run_onnx.py MODEL.onnx PICTURE OUT_PREFIX``; copy it anywhere."""

import json
import sys

import cv2
import numpy as np
import onnxruntime


def predict(session: onnxruntime.InferenceSession, facts: dict, image: np.ndarray) -> np.ndarray:
    """Class of each pixel, (H, W), of a picture, RGB uint8 (H, W, 3)."""
    if facts['preprocessing'] == 'inside':
        return session.run(['labels'], {'pictures': image[None]})[0][0]
    if facts['preprocessing'] != 'outside' or facts['channel_order'] == 'bands':
        sys.exit(f'pictures for this file are prepared by: {facts["config"]}')
    sides = image.shape[1::-1]
    if resize := facts['resize']:
        size = resize['scale']
        ratio = min(max(size) / max(sides), min(size) / min(sides))
        size = [int(side * ratio + 0.5) for side in sides] if resize['keep_ratio'] else size
        image = cv2.resize(image, size)
    image = image.astype(np.float32)[..., :: -1 if facts['channel_order'] == 'BGR' else 1]
    if facts['mean']:
        image = (image - np.float32(facts['mean'])) / np.float32(facts['std'])
    (logits,) = session.run(['logits'], {'images': image.transpose(2, 0, 1)[None].copy()})
    logits = np.stack([cv2.resize(one, sides) for one in logits[0]])
    probability = 1 / (1 + np.exp(-logits[0]))
    return probability > facts['threshold'] if facts['kind'] == 'binary' else logits.argmax(0)


if __name__ == '__main__':
    session = onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])
    facts = json.loads(session.get_modelmeta().custom_metadata_map['mmseg_custom'])
    image, prefix = cv2.imread(sys.argv[2]), sys.argv[3]
    labels = predict(session, facts, image[..., ::-1].copy())
    labels = labels.astype(np.uint8 if len(facts['classes']) <= 256 else np.uint16)
    cv2.imwrite(f'{prefix}_labels.png', labels)
    colours = np.uint8(facts['palette'])[labels][..., ::-1]
    cv2.imwrite(f'{prefix}_overlay.png', image // 2 + colours // 2)
