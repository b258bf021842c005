"""Predict a picture with a LiteRT file: ``python run_litert.py MODEL.tflite PICTURE OUT.png``.

It stands alone: copy it. It needs ``pip install ai-edge-litert numpy pillow``.
"""

import json
import sys
import zipfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps


def main(model: str, picture: str, out: str) -> None:
    """Write the class of each pixel as a PNG with the classes' colours, and print their shares."""
    with zipfile.ZipFile(model) as archive:
        about = json.loads(archive.read('metadata.json'))
    interpreter = Interpreter(model)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    image = ImageOps.exif_transpose(Image.open(picture)).convert('RGB')
    fitted = image.resize(taken['shape'][2:0:-1].tolist(), Image.Resampling.BILINEAR)
    interpreter.set_tensor(taken['index'], np.asarray(fitted, np.float32)[None])
    interpreter.invoke()
    logits = interpreter.get_tensor(given['index'])[0]
    if about['threshold'] is not None:
        logits[..., 1] -= np.log(about['threshold'] / (1 - about['threshold']))
    planes = [Image.fromarray(logits[..., k].copy()) for k in range(logits.shape[2])]
    maps = [plane.resize(image.size, Image.Resampling.BILINEAR) for plane in planes]
    labels = np.stack(maps).argmax(0).astype(np.uint8)
    mask = Image.fromarray(labels)
    mask.putpalette([value for colour in about['palette'] for value in colour])
    mask.save(out)
    for number, name in enumerate(about['classes']):
        print(f'{name}: {(labels == number).mean():.1%}')


if __name__ == '__main__':
    main(*sys.argv[1:])
